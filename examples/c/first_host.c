/* A host in C: a function for scripts, a script, its results, and what becomes of an error. */
#include <perilune/perilune.h>

#include <stdio.h>
#include <string.h>

/* Prints what went wrong and frees it. */
static int failed(peri_error* error) {
  if (!error) return 0;
  fprintf(stderr, "%s\n", peri_error_report(error, NULL));
  peri_error_free(error);
  return 1;
}

/* clamp(x, low, high) for scripts. */
static void clamp(void* ctx, peri_call* call) {
  (void)ctx;
  double given[3];
  for (size_t i = 0; i < 3; ++i)
    if (!peri_values_get_number(peri_call_arguments(call), i, &given[i])) {
      peri_call_refuse(call, i, "number expected", strlen("number expected"));
      return;
    }
  peri_values* results = peri_values_new();
  peri_values_add_number(results, given[0] < given[1] ? given[1] : given[0] > given[2] ? given[2] : given[0]);
  peri_call_return(call, results);
  peri_values_free(results);
}

static int run(peri_host* host, const char* text) {
  peri_script* script = NULL;
  peri_values* results = NULL;
  int bad = failed(peri_host_load(host, text, strlen(text), "=script", strlen("=script"), &script)) ||
            failed(peri_host_run(host, script, NULL, &results));
  double number = 0;
  if (!bad && peri_values_get_number(results, 0, &number)) printf("%g\n", number);
  peri_values_free(results);
  peri_script_free(script);
  return bad;
}

int main(void) {
  peri_host* host = NULL;
  if (failed(peri_host_open(NULL, &host))) return 1;
  int bad = failed(peri_host_define(host, "clamp", strlen("clamp"), clamp, NULL, NULL));
  bad += run(host, "local peri = require 'perilune' return peri.spawn(clamp, 11, 0, 10):await()");
  bad += run(host, "return clamp(-1, 0, 10)");
  return failed(peri_host_close(host)) || bad;
}
