"""The modules that exec'ed programs need, read from one file: for each of them it saves four stats, an open, two reads.

A program that users' mail runs by exec imports some 35 modules; to find and read them one by one costs more than to
execute them. So setup leaves a bundle beside the library: the code of this module, and the modules (install/bundle).
A launcher reads it, executes this code, and calls take_over(). Where there is no bundle for its interpreter (a
checkout, another Python) the modules are found in their files, as everybody else's are.
"""

import builtins
import gc
import marshal
import sys

_OBJECTS = 50_000  # made before the collector looks for cycles: importing makes thousands, and none is garbage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    Bundle = Mapping[str, tuple[bool, bytes]]  # name -> whether it is a package, its marshalled code


def take_over(library: str, bundle: "Bundle") -> None:
    """From now on import statements look into the bundle first.  library: the directory whose modules these are."""
    following = builtins.__import__

    def find(
        name: str,
        globals: "Mapping[str, object] | None" = None,  # noqa: A002 - __import__'s own names
        locals: "Mapping[str, object] | None" = None,  # noqa: A002
        fromlist: "Sequence[str] | None" = (),
        level: int = 0,
    ) -> "ModuleType":
        if level or name not in bundle:
            return following(name, globals, locals, fromlist or (), level)
        module = _load(name, library, bundle)
        if not fromlist:
            return sys.modules[name.partition(".")[0]]
        if bundle[name][0]:
            for word in fromlist:
                if f"{name}.{word}" in bundle:
                    _load(f"{name}.{word}", library, bundle)
                elif not hasattr(module, word):
                    return following(name, globals, locals, fromlist, level)
        return module

    gc.set_threshold(_OBJECTS)
    builtins.__import__ = find


def _load(name: str, library: str, bundle: "Bundle") -> "ModuleType":
    """The module, and the packages above it."""
    module = sys.modules.get(name)
    if module is not None:
        return module
    above, _, last = name.rpartition(".")
    if above:
        _load(above, library, bundle)
    is_package, code = bundle[name]
    path = f"{library}/{name.replace('.', '/')}"
    module = sys.modules[name] = type(sys)(name)
    if is_package:
        module.__path__ = [path]
        path += "/__init__"
    module.__file__ = path + ".py"
    try:
        exec(marshal.loads(code), module.__dict__)  # noqa: S102, S302 - root's own file, as a .pyc is
    except BaseException:
        del sys.modules[name]
        raise
    if above:
        setattr(sys.modules[above], last, module)
    return module
