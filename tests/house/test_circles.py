"""The house can be read from the ground up: no files import each other in circles, not even for annotations only."""

from tests.house.source import modules


def test_files_do_not_import_each_other_in_circles() -> None:
    found = circles(imported())
    assert not found, "\n".join(" <-> ".join(sorted(circle)) for circle in found)


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e", "d"}, "e": set(), "f": {"g"}, "g": {"f", "a"}}
    assert sorted(map(sorted, circles(graph))) == [["a", "b", "c"], ["f", "g"]]


def imported() -> dict[str, set[str]]:
    """Each module, and those of ours that it imports anywhere, for types only as well."""
    names = {module.name for module in modules()}
    graph: dict[str, set[str]] = {name: set() for name in names}
    for module in modules():
        for name, _ in module.imports():
            found = name if name in names else name.rpartition(".")[0]
            if found in names and found not in (module.name, "qmailpy"):
                graph[module.name].add(found)
    return graph


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Files each of which leads to all others of its circle."""
    found: list[set[str]] = []
    reach = {name: reached(graph, name) for name in graph}
    for name in graph:
        circle = {other for other in reach[name] if name in reach[other]}
        if len(circle) > 1 and circle not in found:
            found.append(circle)
    return found


def reached(graph: dict[str, set[str]], start: str) -> set[str]:
    """What a name leads to; itself, if it does."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for name in graph[waiting.pop()] - seen:
            seen.add(name)
            waiting.append(name)
    return seen
