"""Names of processes, as ps and pstree show them.

The kernel's short name (pstree, 15 bytes) is the bare program name; the long title may say more.
Residents only: the import costs 11 ms.
"""


def set_title(name: str, more: str = "") -> None:
    """name: the bare program name; more: what follows it in the long title.

    Without the package (a broken installation) the names stay as they are: mail goes on.
    """
    try:
        import setproctitle
    except ImportError:
        return
    setproctitle.setproctitle(f"{name} {more}" if more else name)
    setproctitle.setthreadtitle(name)
