/* A C11 program on the C interface: what a host in C does, and that each mistake is an error. Prints what fails; exit status 1 then. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>

#include "c_check.h"

static int destroyed;
static void count_destroyed(void* ctx) { destroyed += *(int*)ctx; }

static void add_numbers(void* ctx, peri_call* call) {
  const peri_values* arguments = peri_call_arguments(call);
  double sum = *(int*)ctx;
  for (size_t i = 0; i < peri_values_count(arguments); ++i) {
    double number = 0;
    if (!peri_values_get_number(arguments, i, &number)) {
      peri_call_refuse(call, i, "number expected", 15);
      return;
    }
    sum += number;
  }
  peri_values* results = peri_values_new();
  peri_values_add_number(results, sum);
  peri_call_return(call, results);
  peri_values_free(results);
}

static pthread_t other;
static void* resolve_elsewhere(void* completion) {
  peri_values* results = peri_values_new();
  peri_values_add_string(results, "from a thread", 13);
  CHECK(peri_completion_resolve(completion, results));
  CHECK(!peri_completion_resolve(completion, results));
  peri_values_free(results);
  peri_completion_free(completion);
  return NULL;
}
static void begin(void* ctx, peri_call* call, peri_completion* completion) {
  (void)ctx, (void)call;
  pthread_create(&other, NULL, resolve_elsewhere, completion);
}

static peri_completion* kept;
static int cancelled;
static void keep(void* ctx, peri_call* call, peri_completion* completion);
static void note_cancelled(void* ctx) { cancelled += *(int*)ctx; }
static void keep(void* ctx, peri_call* call, peri_completion* completion) {
  (void)call;
  kept = completion;
  peri_completion_on_cancel(completion, note_cancelled, ctx, NULL);
}

static void close_inside(void* ctx, peri_call* call) {
  (void)call;
  FAILS(peri_host_close(ctx), "misuse", "inside a call");
  FAILS(peri_host_tick(ctx, NULL, NULL), "misuse", "driven already");
}

static void values_go_both_ways(peri_host* host) {
  peri_values* arguments = peri_values_new();
  peri_values* pairs = peri_values_new();
  peri_values_add_integer(pairs, 1);
  peri_values_add_string(pairs, "a\0b", 3);
  peri_values_add_string(pairs, "deep", 4);
  peri_values_add_boolean(pairs, 1);
  peri_values_add_table(arguments, pairs);
  peri_values_free(pairs);
  peri_values* results = NULL;
  OK(run(host, "local t = ... return t[1], t.deep, #t, { 7, x = 1.5 }, function() return 9 end, nil", arguments,
         &results));
  peri_values_free(arguments);
  size_t size = 0;
  CHECK(peri_values_count(results) == 6);
  CHECK(memcmp(peri_values_get_string(results, 0, &size), "a\0b", 4) == 0 && size == 3);
  int yes = 0;
  int64_t length = 0;
  CHECK(peri_values_get_boolean(results, 1, &yes) && yes == 1);
  CHECK(peri_values_get_integer(results, 2, &length) && length == 1);
  CHECK(!peri_values_get_integer(results, 0, &length) && peri_values_type(results, 99) == PERI_NIL);
  pairs = peri_values_get_table(results, 3);
  double x = 0;
  CHECK(peri_values_count(pairs) == 4 && peri_values_get_number(pairs, 3, &x) && x == 1.5);
  peri_values_free(pairs);
  peri_script* function = peri_values_get_function(results, 4);
  peri_values_free(results);
  OK(peri_host_run(host, function, NULL, &results));
  CHECK(peri_values_get_integer(results, 0, &length) && length == 9);
  peri_values_free(results);
  peri_script_free(function);
}

static void functions_are_called(peri_host* host) {
  static int ten = 10, one = 1;
  OK(peri_host_define(host, "c.add", 5, add_numbers, &ten, count_destroyed));
  peri_values* results = NULL;
  OK(run(host, "return c.add(1, 2)", NULL, &results));
  double sum = 0;
  CHECK(peri_values_get_number(results, 0, &sum) && sum == 13);
  peri_values_free(results);
  FAILS(run(host, "\nc.add(1, {})", NULL, NULL), "error",
        "test:2: bad argument #2 to 'add' (number expected, got table)");

  OK(peri_host_define_async(host, "c.elsewhere", 11, begin, NULL, NULL));
  OK(run(host, "return c.elsewhere()", NULL, &results));
  pthread_join(other, NULL);
  CHECK(strcmp(peri_values_get_string(results, 0, NULL), "from a thread") == 0);
  peri_values_free(results);

  OK(peri_host_define_async(host, "c.keep", 6, keep, &one, NULL));
  FAILS(run(host, "local peri = require 'perilune' local t = peri.spawn(c.keep) peri.yield() t:cancel() t:await()",
            NULL, NULL),
        "cancelled", "cancel");
  CHECK(cancelled == 1 && peri_completion_cancelled(kept) && !peri_completion_resolve(kept, NULL));
  OK(peri_host_define(host, "c.close", 7, close_inside, host, NULL));
  OK(run(host, "c.close()", NULL, NULL));
}

static void a_loop_of_its_own(void) {
  peri_host_options options = {.struct_size = sizeof options, .manual_clock = 1, .manual_gc = 1, .seed = 7};
  peri_host* host = NULL;
  OK(peri_host_open(&options, &host));
  peri_script* ai = load(host, "local peri = require 'perilune' peri.sleep(...) return peri.now()");
  peri_values* arguments = peri_values_new();
  peri_values_add_integer(arguments, 2);
  peri_group* group = NULL;
  peri_task *task = NULL, *doomed = NULL;
  OK(peri_group_new(host, "npc:17", 6, &group));
  OK(peri_group_spawn(group, ai, arguments, &doomed));
  OK(peri_host_spawn(host, ai, arguments, "ai", 2, &task));
  peri_tick_report report = {.struct_size = sizeof report};
  OK(peri_host_tick(host, NULL, &report));
  CHECK(report.live == 2 && report.idle && peri_host_next_deadline(host) == 2000000000);
  FAILS(peri_task_outcome(task, NULL), "misuse", "not ended");
  peri_group_free(group);
  OK(peri_host_advance(host, 2000000000));
  OK(peri_host_tick(host, &(peri_tick_budget){.struct_size = sizeof(peri_tick_budget), .time = 1000000}, &report));
  CHECK(report.live == 0 && peri_task_done(task));
  FAILS(peri_task_outcome(doomed, NULL), "cancelled", "cancelled");
  peri_values* results = NULL;
  OK(peri_task_outcome(task, &results));
  double now = 0;
  CHECK(peri_values_get_number(results, 0, &now) && now == 2);
  int fd = -1;
  OK(peri_host_poll_fd(host, &fd));
  CHECK(fd >= 0 && peri_host_collect_for(host, 1000000000) == 1 && peri_host_memory_used(host) > 0);
  peri_values_free(results);
  peri_values_free(arguments);
  OK(peri_host_close(host));
  peri_task_free(task);
  peri_task_free(doomed);
  peri_script_free(ai);
}

int main(void) {
  CHECK(peri_version() > 0);
  peri_host* host = NULL;
  OK(peri_host_open(NULL, &host));
  peri_script* broken = NULL;
  FAILS(peri_host_load(host, "local = 1", 9, "=bad", 4, &broken), "error", "bad:1:");
  FAILS(run(host, "error('no way')", NULL, NULL), "error", "no way");
  FAILS(peri_host_load_file(host, "/nowhere", 8, &broken), "io", "nowhere");
  values_go_both_ways(host);
  functions_are_called(host);
  OK(peri_host_close(host));
  CHECK(destroyed == 10);
  peri_completion_free(kept);
  a_loop_of_its_own();
  return failures != 0;
}
