/* What the C interface must survive: calls on the wrong thread or the wrong host, handles of hosts that are gone, completions that come
 * too late, driving inside a callback, callbacks that fail, and memory that runs out wherever it can. Each is an error that says so. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdlib.h>

#include "c_check.h"

/* What a host has given out. */
struct used {
  peri_host* host;
  peri_script* script;
  peri_task* task;
  peri_group* group;
  peri_completion* completion;
  peri_values* values;
};

static void keep_completion(void* ctx, peri_call* call, peri_completion* completion) {
  (void)call;
  ((struct used*)ctx)->completion = completion;
}

static struct used open_used(void) {
  struct used u = {0};
  OK(peri_host_open(NULL, &u.host));
  u.script = load(u.host, "return keep and keep() or require('perilune').sleep(100)");
  OK(peri_host_spawn(u.host, u.script, NULL, "sleeper", 7, &u.task));
  OK(peri_group_new(u.host, "group", 5, &u.group));
  OK(peri_group_spawn(u.group, u.script, NULL, NULL));
  u.values = peri_values_new();
  peri_values_add_integer(u.values, 1);
  OK(peri_host_tick(u.host, NULL, NULL));
  return u;
}

static void free_used(struct used u) {
  peri_script_free(u.script);
  peri_task_free(u.task);
  peri_group_free(u.group);
  peri_completion_free(u.completion);
  peri_values_free(u.values);
}

static int destroyed;
static void note_destroyed(void* ctx) { (void)ctx, ++destroyed; }
static void plain(void* ctx, peri_call* call) { (void)ctx, (void)call; }
static void async(void* ctx, peri_call* call, peri_completion* completion) {
  (void)ctx, (void)call;
  peri_completion_free(completion);
}

static void* use_elsewhere(void* ctx) {
  const struct used* u = ctx;
  peri_script* script = NULL;
  peri_group* group = NULL;
  peri_values* results = NULL;
  int fd = -1;
  FAILS(peri_host_load(u->host, "", 0, "=", 1, &script), "misuse", "thread");
  FAILS(peri_host_load_file(u->host, "/dev/null", 9, &script), "misuse", "thread");
  FAILS(peri_host_run(u->host, u->script, NULL, NULL), "misuse", "thread");
  FAILS(peri_host_spawn(u->host, u->script, NULL, NULL, 0, NULL), "misuse", "thread");
  FAILS(peri_host_join(u->host, u->task, NULL), "misuse", "thread");
  FAILS(peri_host_tick(u->host, NULL, NULL), "misuse", "thread");
  FAILS(peri_host_poll_fd(u->host, &fd), "misuse", "thread");
  FAILS(peri_host_advance(u->host, 1), "misuse", "thread");
  FAILS(peri_host_set(u->host, "x", 1, u->values, 0), "misuse", "thread");
  FAILS(peri_host_get(u->host, "x", 1, &results), "misuse", "thread");
  FAILS(peri_host_reload(u->host, "m", 1), "misuse", "thread");
  FAILS(peri_host_define(u->host, "f", 1, plain, NULL, note_destroyed), "misuse", "thread");
  FAILS(peri_host_define_async(u->host, "g", 1, async, NULL, note_destroyed), "misuse", "thread");
  FAILS(peri_group_new(u->host, "g", 1, &group), "misuse", "thread");
  FAILS(peri_group_spawn(u->group, u->script, NULL, NULL), "misuse", "thread");
  FAILS(peri_task_outcome(u->task, NULL), "misuse", "thread");
  FAILS(peri_host_close(u->host), "misuse", "thread");
  CHECK(!script && !group && !results && fd == -1 && destroyed == 2);
  CHECK(peri_host_next_deadline(u->host) == -1 && !peri_host_collect_for(u->host, 1000000));
  CHECK(peri_host_memory_used(u->host) == 0);
  peri_task_cancel(u->task, "no", 2);
  peri_group_cancel(u->group, "no", 2);
  return NULL;
}

static void* free_elsewhere(void* ctx) {
  free_used(*(struct used*)ctx);
  return NULL;
}

static void on_another_thread(void) {
  struct used u = open_used();
  pthread_t other;
  pthread_create(&other, NULL, use_elsewhere, &u);
  pthread_join(other, NULL);
  peri_tick_report report = {.struct_size = sizeof report};
  OK(peri_host_tick(u.host, NULL, &report));
  CHECK(report.live == 2 && !peri_task_done(u.task));
  pthread_create(&other, NULL, free_elsewhere, &u);
  pthread_join(other, NULL);
  OK(peri_host_tick(u.host, NULL, &report));
  CHECK(report.live == 1); /* the group went with its handle */
  OK(peri_host_close(u.host));
}

static void on_another_host(void) {
  struct used one = open_used(), two = open_used();
  FAILS(peri_host_run(two.host, one.script, NULL, NULL), "misuse", "another host");
  FAILS(peri_host_spawn(two.host, one.script, NULL, NULL, 0, NULL), "misuse", "another host");
  FAILS(peri_group_spawn(two.group, one.script, NULL, NULL), "misuse", "another host");
  FAILS(peri_host_join(two.host, one.task, NULL), "misuse", "another host");
  peri_values* function = NULL;
  OK(peri_host_get(one.host, "print", 5, &function));
  CHECK(peri_values_type(function, 0) == PERI_FUNCTION);
  FAILS(peri_host_set(two.host, "foreign", 7, function, 0), "misuse", "another host");
  FAILS(peri_host_spawn(two.host, two.script, function, NULL, 0, NULL), "misuse", "another host");
  peri_values_free(function);
  OK(peri_host_close(one.host));
  OK(peri_host_close(two.host));
  free_used(one);
  free_used(two);
}

static void* resolve_late(void* ctx) {
  CHECK(peri_completion_cancelled(ctx));
  CHECK(!peri_completion_resolve(ctx, NULL) && !peri_completion_fail(ctx, "late", 4));
  return NULL;
}

static void when_the_host_is_gone(void) {
  struct used u = open_used();
  peri_task* waits = NULL;
  OK(peri_host_define_async(u.host, "keep", 4, keep_completion, &u, NULL));
  OK(peri_host_spawn(u.host, u.script, NULL, NULL, 0, &waits));
  OK(peri_host_tick(u.host, NULL, NULL));
  CHECK(u.completion && !peri_completion_cancelled(u.completion));
  peri_values* function = NULL;
  OK(peri_host_get(u.host, "print", 5, &function));
  OK(peri_host_close(u.host));

  CHECK(peri_task_done(u.task) && peri_task_done(waits));
  FAILS(peri_task_outcome(u.task, NULL), "misuse", "gone");
  FAILS(peri_group_spawn(u.group, u.script, NULL, NULL), "misuse", "gone");
  peri_task_cancel(u.task, NULL, 0);
  peri_group_cancel(u.group, NULL, 0);
  CHECK(peri_values_type(function, 0) == PERI_FUNCTION);
  pthread_t other;
  pthread_create(&other, NULL, resolve_late, u.completion);
  pthread_join(other, NULL);
  peri_values_free(function);
  peri_task_free(waits);
  free_used(u);
}

/* Ended twice, and ended when its task was cancelled. */
static void when_a_call_has_ended(void) {
  struct used u = {0};
  OK(peri_host_open(NULL, &u.host));
  OK(peri_host_define_async(u.host, "keep", 4, keep_completion, &u, NULL));
  u.script = load(u.host, "return keep()");
  for (int cancelled = 0; cancelled < 2; ++cancelled) {
    OK(peri_host_spawn(u.host, u.script, NULL, NULL, 0, &u.task));
    OK(peri_host_tick(u.host, NULL, NULL));
    if (cancelled)
      peri_task_cancel(u.task, "enough", 6);
    else
      CHECK(peri_completion_resolve(u.completion, NULL));
    OK(peri_host_tick(u.host, NULL, NULL));
    CHECK(peri_task_done(u.task) && peri_completion_cancelled(u.completion) == cancelled);
    CHECK(!peri_completion_resolve(u.completion, NULL) && !peri_completion_fail(u.completion, "late", 4));
    peri_completion_free(u.completion);
    peri_task_free(u.task);
  }
  peri_script_free(u.script);
  OK(peri_host_close(u.host));
}

static void drive_inside(void* ctx, peri_call* call) {
  (void)call;
  const struct used* u = ctx;
  FAILS(peri_host_run(u->host, u->script, NULL, NULL), "misuse", "inside a task");
  FAILS(peri_host_join(u->host, u->task, NULL), "misuse", "inside a task");
  FAILS(peri_host_reload(u->host, "m", 1), "misuse", "inside a task");
  FAILS(peri_host_tick(u->host, NULL, NULL), "misuse", "driven already");
  FAILS(peri_host_close(u->host), "misuse", "inside a call");
  CHECK(!peri_host_collect_for(u->host, 1000000000));
  OK(peri_host_set(u->host, "seen", 4, u->values, 0));
}

static void inside_a_callback(void) {
  struct used u = open_used();
  OK(peri_host_define(u.host, "inside", 6, drive_inside, &u, NULL));
  peri_values* results = NULL;
  peri_script* script = load(u.host, "require('perilune').yield() inside() return seen");
  peri_task* task = NULL;
  OK(peri_host_spawn(u.host, script, NULL, NULL, 0, &task));
  OK(peri_host_tick(u.host, NULL, NULL));
  int64_t seen = 0;
  OK(peri_task_outcome(task, &results));
  CHECK(peri_values_get_integer(results, 0, &seen) && seen == 1);
  peri_values_free(results);
  peri_task_free(task);
  peri_script_free(script);
  OK(peri_host_close(u.host));
  free_used(u);
}

static void fail_plain(void* ctx, peri_call* call) {
  (void)ctx;
  peri_call_fail(call, "disk full", 9);
}
static void fail_async(void* ctx, peri_call* call, peri_completion* completion) {
  (void)ctx, (void)call;
  CHECK(peri_completion_fail(completion, "no answer", 9));
  CHECK(!peri_completion_fail(completion, "again", 5));
  peri_completion_free(completion);
}

static void callbacks_that_fail(void) {
  struct used u = {0};
  OK(peri_host_open(NULL, &u.host));
  OK(peri_host_define(u.host, "plain", 5, fail_plain, NULL, NULL));
  OK(peri_host_define_async(u.host, "async", 5, fail_async, NULL, NULL));
  OK(peri_host_define_async(u.host, "forgets", 7, async, NULL, NULL));
  FAILS(run(u.host, "plain()", NULL, NULL), "error", "disk full");
  FAILS(run(u.host, "async()", NULL, NULL), "error", "no answer");
  FAILS(run(u.host, "forgets()", NULL, NULL), "error", "dropped the call");
  OK(run(u.host, "assert(not pcall(plain) and not pcall(async) and not pcall(forgets))", NULL, NULL));
  OK(peri_host_close(u.host));
}

static void echo(void* ctx, peri_call* call) {
  (void)ctx;
  peri_call_return(call, peri_call_arguments(call));
}

/* Counts what succeeds; an error is one of memory. */
static int tried(peri_error* error, int* good) {
  if (error)
    CHECK(strstr(peri_error_message(error, NULL), "memory"));
  else
    ++*good;
  peri_error_free(error);
  return !error;
}

/* Everything that takes memory of the scripts'. How much of it succeeded. */
static int use_all(peri_host* host) {
  static const char text[] =
      "local s, t = ... local u, list = echo(t), {} for i = 1, 20 do list[i] = { s .. i } end return u, list";
  int good = 0;
  peri_script* script = NULL;
  peri_task* task = NULL;
  peri_values *arguments = peri_values_new(), *results = NULL;
  peri_values_add_string(arguments, "a string that is not short: it has more than forty characters", 61);
  peri_values_add_table(arguments, arguments);
  tried(peri_host_define(host, "echo", 4, echo, NULL, NULL), &good);
  tried(peri_host_set(host, "a.b.c", 5, arguments, 0), &good);
  if (tried(peri_host_get(host, "a.b.c", 5, &results), &good)) peri_values_free(results);
  if (tried(peri_host_load(host, text, sizeof text - 1, "=test", 5, &script), &good)) {
    if (tried(peri_host_spawn(host, script, arguments, "named", 5, &task), &good)) {
      tried(peri_host_tick(host, NULL, NULL), &good);
      if (tried(peri_task_outcome(task, &results), &good)) peri_values_free(results);
      peri_task_free(task);
    }
    peri_script_free(script);
  }
  peri_values_free(arguments);
  return good;
}

static void ignore(void* ctx, const char* text, size_t size) { (void)ctx, (void)text, (void)size; }

static void without_memory(void) {
  peri_host_options options = {.struct_size = sizeof options, .report = ignore};
  peri_host* host = NULL;
  OK(peri_host_open(&options, &host));
  const uint64_t empty = peri_host_memory_used(host);
  CHECK(use_all(host) == 7);
  OK(peri_host_close(host));
  int all = 0, none = 0;
  for (uint64_t more = 0; all == 0 && more < 400; ++more) {
    options.memory = empty + more * 256;
    peri_error* error = peri_host_open(&options, &host);
    if (error) {
      FAILS(error, "limit", "memory");
      continue;
    }
    const int good = use_all(host);
    all += good == 7;
    none += good < 7;
    OK(peri_host_close(host));
  }
  CHECK(all == 1 && none > 10);
}

int main(void) {
  on_another_thread();
  on_another_host();
  when_the_host_is_gone();
  when_a_call_has_ended();
  inside_a_callback();
  callbacks_that_fail();
  without_memory();
  return failures != 0;
}
