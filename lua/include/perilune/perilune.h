/* The C interface of Perilune: hosts of scripts for C, and for every language that can call C.
 *
 * Conventions, which hold everywhere and are not repeated at each function:
 *
 * Objects. peri_host, peri_script, peri_task, peri_group, peri_values, peri_completion and peri_error are opaque. Who got a pointer
 * from a function named peri_..._open, _new, _load or _spawn, or through an `out` parameter, owns it and ends it with peri_..._free
 * (a host: peri_host_close). Free accepts NULL. Scripts, tasks, groups and completions may be freed before or after their host.
 * A peri_call, and what is reached from it, belongs to the library and is valid until the callback returns.
 *
 * Strings are a pointer and a length in bytes; they need no zero at the end and may contain zeros. Those that are passed in are
 * copied. Those that come out belong to the object that they were asked of, are followed by a zero, and live as long as it.
 *
 * Errors. A function that can fail returns peri_error*: NULL when all is well, else an error that the caller owns and frees. An `out`
 * parameter is then left alone. No function ends the program, and none lets an exception of C++ pass.
 *
 * Options are structs that begin with struct_size = sizeof the struct as the caller knows it: fields that were added later count as
 * zero, and zero is always the default.
 *
 * Callbacks are called with the ctx that was given with them. `destroy`, which may be NULL, is called with ctx once when the
 * callback will never be called again, also when the function that was given it fails. A callback must return, not jump out.
 *
 * Threads. A host, and all that was made with it, belongs to the thread that opened it: functions called elsewhere fail with kind
 * "misuse" (those without an error do nothing). For any thread: the functions of peri_completion, peri_error and peri_values, where
 * no two threads use the same object at once, peri_..._free, and peri_version. Callbacks come on the host's thread; inside them the
 * host may be used, but not driven (run, join, tick, close).
 *
 * Times are nanoseconds.
 */
#ifndef PERILUNE_H
#define PERILUNE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define PERI_API __attribute__((visibility("default")))
#else
#define PERI_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peri_host peri_host;             /* scripts, their tasks and what drives them */
typedef struct peri_script peri_script;         /* a chunk that was loaded, or a function that a script gave away */
typedef struct peri_task peri_task;             /* a task that was spawned; freeing the handle leaves it running */
typedef struct peri_group peri_group;           /* tasks that are cancelled when the handle is freed */
typedef struct peri_values peri_values;         /* a list of values: arguments or results */
typedef struct peri_call peri_call;             /* a call of a function of the host's by a script */
typedef struct peri_completion peri_completion; /* the end of an asynchronous call */
typedef struct peri_error peri_error;

/* The version of the library, 10000 * major + 100 * minor + patch. */
PERI_API uint32_t peri_version(void);

/* Errors */

/* "error", "cancelled", "timeout", "limit", "io", "misuse", "transfer", ... Static. */
PERI_API const char* peri_error_kind(const peri_error* error);
/* What went wrong, in one line. `size` may be NULL, here and below. */
PERI_API const char* peri_error_message(const peri_error* error, size_t* size);
/* Message, traceback and causes, where a script failed; else the message. */
PERI_API const char* peri_error_report(const peri_error* error, size_t* size);
PERI_API void peri_error_free(peri_error* error);

/* Values. Lists are indexed from 0. A table is a list of keys and values by turns. */

/* What a value is. PERI_OTHER: something of the scripts' that has no type here, a channel, a coroutine. */
typedef enum peri_type {
  PERI_NIL,
  PERI_BOOLEAN,
  PERI_INTEGER,
  PERI_NUMBER,
  PERI_STRING,
  PERI_TABLE,
  PERI_FUNCTION,
  PERI_TASK,
  PERI_OBJECT,
  PERI_OTHER
} peri_type;

/* A list, empty; NULL when memory is out. */
PERI_API peri_values* peri_values_new(void);
PERI_API void peri_values_free(peri_values* list);
PERI_API size_t peri_values_count(const peri_values* list);
/* Add one at the end. 1, or 0 when memory is out. */
PERI_API int peri_values_add_nil(peri_values* list);
PERI_API int peri_values_add_boolean(peri_values* list, int value);
PERI_API int peri_values_add_integer(peri_values* list, int64_t value);
PERI_API int peri_values_add_number(peri_values* list, double value);
PERI_API int peri_values_add_string(peri_values* list, const char* data, size_t size);
/* A table of what `pairs` has: key, value, key, value. Keys 1, 2, 3 in this order become its list. */
PERI_API int peri_values_add_table(peri_values* list, const peri_values* pairs);
/* The value at `index` of another list, of any type. */
PERI_API int peri_values_add_from(peri_values* list, const peri_values* from, size_t index);
/* Read one. 1, or 0 where there is none, or one of another type; `out` is then left alone. A number with an integral value is an
 * integer too, an integer a number too. */
PERI_API peri_type peri_values_type(const peri_values* list, size_t index);
PERI_API int peri_values_get_boolean(const peri_values* list, size_t index, int* out);
PERI_API int peri_values_get_integer(const peri_values* list, size_t index, int64_t* out);
PERI_API int peri_values_get_number(const peri_values* list, size_t index, double* out);
/* NULL where there is no string. */
PERI_API const char* peri_values_get_string(const peri_values* list, size_t index, size_t* size);
/* A new list of the table's keys and values by turns, its list first; NULL where there is no table. */
PERI_API peri_values* peri_values_get_table(const peri_values* list, size_t index);
/* NULL where there is no function. */
PERI_API peri_script* peri_values_get_function(const peri_values* list, size_t index);

/* Hosts */

/* What a host is opened with. */
typedef struct peri_host_options {
  size_t struct_size; /* sizeof(peri_host_options) */
  uint64_t seed;      /* of every random choice; 0 draws one */
  uint64_t memory;    /* bytes that scripts may use; 0: any number */
  uint64_t max_tasks; /* alive at once; 0: any number */
  int manual_clock;   /* 1: time stands still but for peri_host_advance */
  int manual_gc;      /* 1: garbage is collected in peri_host_collect_for only */
  int deterministic;  /* 1: the same inputs, the same run */
  int64_t slice;      /* a task that computes for longer lets others run; needs the signal SIGURG; 0: never */
  /* Failures that nobody looked at, and warnings. Default: standard error. */
  void (*report)(void* ctx, const char* text, size_t size);
  void* report_ctx;
  void (*report_destroy)(void* ctx);
} peri_host_options;

/* When a tick stops, at the latest. */
typedef struct peri_tick_budget {
  size_t struct_size; /* sizeof(peri_tick_budget) */
  int64_t time;       /* stop after so much wall time; 0: no limit */
  uint32_t resumes;   /* stop after about so many resumes of tasks; 0: no limit */
} peri_tick_budget;

/* What a tick did, and what it leaves. */
typedef struct peri_tick_report {
  size_t struct_size; /* sizeof(peri_tick_report), set by the caller */
  uint64_t resumed;   /* how often a task ran */
  uint64_t live;      /* tasks that have not ended */
  int idle;           /* 1: nothing is ready now */
  int64_t slack;      /* what is left of the time */
} peri_tick_report;

/* `options` may be NULL. */
PERI_API peri_error* peri_host_open(const peri_host_options* options, peri_host** out);
/* Cancels every task, runs their closers and closes the VM. Refused, and nothing happens, inside a callback. */
PERI_API peri_error* peri_host_close(peri_host* host);
/* Lua text. `name` is what errors call it: "@x.lua" for a file, "=text" for anything else. */
PERI_API peri_error* peri_host_load(peri_host* host, const char* text, size_t size, const char* name, size_t name_size,
                                    peri_script** out);
PERI_API peri_error* peri_host_load_file(peri_host* host, const char* path, size_t path_size, peri_script** out);
PERI_API void peri_script_free(peri_script* script);
/* Runs the script until it, what it spawned and all that is detached has ended; blocks. `arguments` and `results` may be NULL. */
PERI_API peri_error* peri_host_run(peri_host* host, const peri_script* script, const peri_values* arguments,
                                   peri_values** results);
/* Queues the script as a task. `name` may be NULL. `out` may be NULL. */
PERI_API peri_error* peri_host_spawn(peri_host* host, const peri_script* script, const peri_values* arguments,
                                     const char* name, size_t name_size, peri_task** out);
/* Drives the host until the task has ended; blocks. The error is the task's. */
PERI_API peri_error* peri_host_join(peri_host* host, const peri_task* task, peri_values** results);
/* Runs what is ready; never blocks. `budget` and `report` may be NULL. */
PERI_API peri_error* peri_host_tick(peri_host* host, const peri_tick_budget* budget, peri_tick_report* report);
/* A descriptor that is readable when a tick has something to do that no deadline tells. Not to be read or closed. */
PERI_API peri_error* peri_host_poll_fd(peri_host* host, int* out);
/* How long to wait for that descriptor until the next tick; -1: for ever. */
PERI_API int64_t peri_host_next_deadline(peri_host* host);
/* Moves a manual clock; kind "misuse" for a host without one, and backwards. */
PERI_API peri_error* peri_host_advance(peri_host* host, int64_t by);
/* Collects garbage for about so long. 1 when a cycle has ended: there is nothing to do for now. */
PERI_API int peri_host_collect_for(peri_host* host, int64_t time);
PERI_API uint64_t peri_host_memory_used(peri_host* host);
/* A global, by a path: "a.b" is the field b of the table a. Sets the value at `index` of the list. */
PERI_API peri_error* peri_host_set(peri_host* host, const char* path, size_t size, const peri_values* list,
                                   size_t index);
/* A list of that one value. */
PERI_API peri_error* peri_host_get(peri_host* host, const char* path, size_t size, peri_values** out);
/* Loads a module again; the old code stays where the new does not load. */
PERI_API peri_error* peri_host_reload(peri_host* host, const char* module, size_t size);

/* Tasks and groups */

/* Drops the handle; the task runs on. */
PERI_API void peri_task_free(peri_task* task);
/* 1: its outcome is final, or its host is gone. */
PERI_API int peri_task_done(const peri_task* task);
/* How a task that is done has ended: its results, or its error (kind "cancelled" where it was). */
PERI_API peri_error* peri_task_outcome(const peri_task* task, peri_values** results);
/* Ask it to end. */
PERI_API void peri_task_cancel(const peri_task* task, const char* reason, size_t size);
PERI_API peri_error* peri_group_new(peri_host* host, const char* name, size_t size, peri_group** out);
PERI_API peri_error* peri_group_spawn(const peri_group* group, const peri_script* script, const peri_values* arguments,
                                      peri_task** out);
/* Cancels its tasks, like freeing it, and keeps the handle; nothing starts in it any more. */
PERI_API void peri_group_cancel(const peri_group* group, const char* reason, size_t size);
PERI_API void peri_group_free(peri_group* group);

/* Functions of the host's. `path` as in peri_host_set. */

/* Called by a script, which goes on when it has returned. */
typedef void (*peri_function)(void* ctx, peri_call* call);
/* The callback owns the completion, and ends it sooner or later, on whatever thread; the script waits meanwhile. */
typedef void (*peri_async_function)(void* ctx, peri_call* call, peri_completion* completion);

/* Make `fn` a function of the scripts. */
PERI_API peri_error* peri_host_define(peri_host* host, const char* path, size_t size, peri_function fn, void* ctx,
                                      void (*destroy)(void* ctx));
PERI_API peri_error* peri_host_define_async(peri_host* host, const char* path, size_t size, peri_async_function fn,
                                            void* ctx, void (*destroy)(void* ctx));
/* What the script gave: a list of the call's. */
PERI_API const peri_values* peri_call_arguments(const peri_call* call);
/* What the call returns: a copy of the list. */
PERI_API void peri_call_return(peri_call* call, const peri_values* results);
/* The call raises an error with this text. */
PERI_API void peri_call_fail(peri_call* call, const char* message, size_t size);
/* The argument, counted from 0, is not what was expected ("number expected"): raises at the script's line, naming what came. */
PERI_API void peri_call_refuse(peri_call* call, size_t argument, const char* expected, size_t size);

/* End the call. 1; or 0 when it has ended already or nobody waits any more. `results` may be NULL. */
PERI_API int peri_completion_resolve(peri_completion* completion, const peri_values* results);
PERI_API int peri_completion_fail(peri_completion* completion, const char* message, size_t size);
/* Nobody waits any more. */
PERI_API int peri_completion_cancelled(const peri_completion* completion);
/* `fn` is called once if the waiting task is cancelled: on the host's thread, or at once if it has been. `destroy` as everywhere. */
PERI_API void peri_completion_on_cancel(peri_completion* completion, void (*fn)(void* ctx), void* ctx,
                                        void (*destroy)(void* ctx));
/* A call whose completion is freed without an end fails. */
PERI_API void peri_completion_free(peri_completion* completion);

#ifdef __cplusplus
}
#endif

#endif /* PERILUNE_H */
