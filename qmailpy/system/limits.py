"""What the kernel lets this process have."""


def open_files(most: int) -> int:
    """Raise our limit of open descriptors as far as we may, at most to `most`.  Result: the limit now."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = most
    wanted = max(soft, min(hard, most)) if soft != resource.RLIM_INFINITY else most
    if wanted != soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        except (OSError, ValueError):
            return int(soft)
    return int(wanted)


def soft_open_files() -> int:
    """The limit of open descriptors as it stands."""
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def set_soft_open_files(number: int) -> None:
    """Put it back to what soft_open_files() said, for programs that are not ours to change it for."""
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (number, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def lower(memory: int, processes: int) -> None:
    """For this process and what it will start, for good.

    memory: bytes of address space of each process; processes: of this user, in all.  0: as it is.  A limit that is
    lower already stays.  Errors: OSError.
    """
    import resource

    for which, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_NPROC, processes)):
        hard = resource.getrlimit(which)[1]
        if most and (hard == resource.RLIM_INFINITY or most < hard):
            resource.setrlimit(which, (most, most))


def kinds() -> list[int]:
    """The kernel's numbers of all limits."""
    import resource

    return sorted({number for name, number in vars(resource).items() if name.startswith("RLIMIT_")})


def of_kinds(numbers: list[int]) -> list[tuple[int, int]]:
    """These limits of this process, to be compared with what they were."""
    import resource

    return list(map(resource.getrlimit, numbers))


def mark_of_children() -> int:
    """A number that changes with each child of its own that this process has waited for.

    The kernel's count of their page faults: nothing runs without one.
    """
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
