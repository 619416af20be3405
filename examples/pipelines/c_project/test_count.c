#include <stdio.h>

#include "count.h"

int main(void) {
  struct table *t = table_new();
  add_words(t, "the moon and the tide and the moon");
  if (table_size(t) != 4 || table_count(t, "the") != 3 || table_count(t, "sun") != 0) return 1;
  table_free(t);
  puts("all tests passed");
  return 0;
}
