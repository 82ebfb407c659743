"""For pytest: `bufleak check -- python3 -m pytest -p bufleak_pytest` tells by name which test leaked
in the interpreter itself, in its extension modules. (Programs that tests start need no plugin: they
are named by the variable that pytest sets for them.)

Without bufleak it does nothing.
"""
import ctypes

import pytest

try:
    _test = ctypes.CDLL(None).bufleak_shim_test
    _test.argtypes = [ctypes.c_char_p]
    _test.restype = None
except AttributeError:
    _test = None


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item, nextitem):
    """The whole of a test: its set-up, itself, and what takes it down."""
    if _test:
        _test(item.nodeid.encode())
    yield
    if _test:
        _test(None)
