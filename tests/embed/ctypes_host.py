"""Drives the shared library from Python by ctypes: ctypes_host.py LIBRARY. What fails raises."""

import ctypes
import sys
from ctypes import POINTER, byref, c_char_p, c_double, c_int64, c_size_t, c_void_p

lib = ctypes.CDLL(sys.argv[1])
for name in ("peri_error_kind", "peri_error_message", "peri_error_report", "peri_values_get_string"):
    getattr(lib, name).restype = c_char_p
for name in ("peri_values_new", "peri_call_arguments", "peri_host_open", "peri_host_close", "peri_host_load", "peri_host_run",
             "peri_host_define", "peri_host_define_async"):
    getattr(lib, name).restype = c_void_p
lib.peri_values_count.restype = c_size_t

FUNCTION = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)
ASYNC = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_void_p)


class ScriptError(Exception):
    pass


def check(error):
    if not error:
        return
    error = c_void_p(error)
    text = f"{lib.peri_error_kind(error).decode()}: {lib.peri_error_message(error, None).decode()}"
    lib.peri_error_free(error)
    raise ScriptError(text)


def run(host, text):
    script, results = c_void_p(), c_void_p()
    source = text.encode()
    check(lib.peri_host_load(host, source, c_size_t(len(source)), b"=py", c_size_t(3), byref(script)))
    try:
        check(lib.peri_host_run(host, script, None, byref(results)))
    finally:
        lib.peri_script_free(script)
    return results


@FUNCTION
def double(_, call):
    arguments = c_void_p(lib.peri_call_arguments(c_void_p(call)))
    number, results = c_double(), c_void_p(lib.peri_values_new())
    if not lib.peri_values_get_number(arguments, c_size_t(0), byref(number)):
        return lib.peri_call_refuse(c_void_p(call), c_size_t(0), b"number expected", c_size_t(15))
    lib.peri_values_add_number(results, c_double(number.value * 2))
    lib.peri_call_return(c_void_p(call), results)
    lib.peri_values_free(results)


waiting = []


@ASYNC
def later(_, call, completion):
    waiting.append(c_void_p(completion))


def main():
    host = c_void_p()
    check(lib.peri_host_open(None, byref(host)))
    check(lib.peri_host_define(host, b"double", c_size_t(6), double, None, None))
    check(lib.peri_host_define_async(host, b"later", c_size_t(5), later, None, None))

    results, number = run(host, "return double(21)"), c_double()
    assert lib.peri_values_get_number(results, c_size_t(0), byref(number)) and number.value == 42
    lib.peri_values_free(results)
    for text, part in (("double('x')", "bad argument #1 to 'double' (number expected, got string)"), ("error 'no'", "no")):
        try:
            run(host, text)
        except ScriptError as problem:
            assert part in str(problem), problem
        else:
            raise AssertionError(text)

    # The task waits for the completion, which comes between two ticks.
    script, task = c_void_p(), c_void_p()
    lib.peri_host_spawn.restype = lib.peri_host_tick.restype = lib.peri_task_outcome.restype = c_void_p
    check(lib.peri_host_load(host, b"return later()", c_size_t(14), b"=py", c_size_t(3), byref(script)))
    check(lib.peri_host_spawn(host, script, None, None, c_size_t(0), byref(task)))
    check(lib.peri_host_tick(host, None, None))
    assert len(waiting) == 1 and not lib.peri_task_done(task)
    answer = c_void_p(lib.peri_values_new())
    lib.peri_values_add_string(answer, "grüße".encode(), c_size_t(len("grüße".encode())))
    assert lib.peri_completion_resolve(waiting[0], answer) == 1
    lib.peri_completion_free(waiting[0])
    check(lib.peri_host_tick(host, None, None))
    assert lib.peri_task_done(task)
    check(lib.peri_task_outcome(task, byref(results)))
    assert lib.peri_values_get_string(results, c_size_t(0), None).decode() == "grüße"
    for free, what in ((lib.peri_values_free, results), (lib.peri_values_free, answer), (lib.peri_task_free, task), (lib.peri_script_free, script)):
        free(what)
    check(lib.peri_host_close(host))
    print("ok")


if __name__ == "__main__":
    main()
