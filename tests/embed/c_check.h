/* How the programs in C check: each failure is a line on standard error, and counted. */
#ifndef C_CHECK_H
#define C_CHECK_H

#include <perilune/perilune.h>

#include <stdio.h>
#include <string.h>

static int failures;

#define CHECK(what)                                                      \
  do {                                                                   \
    if (!(what)) {                                                       \
      fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #what); \
      ++failures;                                                        \
    }                                                                    \
  } while (0)

static void ok(peri_error* error, const char* file, int line) {
  if (!error) return;
  fprintf(stderr, "%s:%d: %s\n", file, line, peri_error_report(error, NULL));
  peri_error_free(error);
  ++failures;
}
#define OK(call) ok((call), __FILE__, __LINE__)

/* The error has this kind, and its message this part. Frees it. */
static void fails(peri_error* error, const char* kind, const char* part, const char* file, int line) {
  if (!error) {
    fprintf(stderr, "%s:%d: an error was expected\n", file, line);
    ++failures;
    return;
  }
  if (strcmp(peri_error_kind(error), kind) != 0 || !strstr(peri_error_message(error, NULL), part)) {
    fprintf(stderr, "%s:%d: got %s: %s\n", file, line, peri_error_kind(error), peri_error_message(error, NULL));
    ++failures;
  }
  peri_error_free(error);
}
#define FAILS(call, kind, part) fails((call), kind, part, __FILE__, __LINE__)

static peri_script* load(peri_host* host, const char* text) {
  peri_script* script = NULL;
  OK(peri_host_load(host, text, strlen(text), "=test", 5, &script));
  return script;
}

static peri_error* run(peri_host* host, const char* text, const peri_values* arguments, peri_values** results) {
  peri_script* script = load(host, text);
  peri_error* error = peri_host_run(host, script, arguments, results);
  peri_script_free(script);
  return error;
}

#endif /* C_CHECK_H */
