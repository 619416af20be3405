#include <perilune/perilune.h>

int main(void) {
  peri_host* host = NULL;
  peri_script* script = NULL;
  peri_values* results = NULL;
  int64_t answer = 0;
  if (peri_host_open(NULL, &host)) return 1;
  if (peri_host_load(host, "return 6 * 7", 12, "=c", 2, &script)) return 2;
  if (peri_host_run(host, script, NULL, &results)) return 3;
  if (!peri_values_get_integer(results, 0, &answer) || answer != 42) return 4;
  peri_values_free(results);
  peri_script_free(script);
  return peri_host_close(host) ? 5 : 0;
}
