#include <stdio.h>

#include "count.h"

int main(int argc, char **argv) {
  struct table *t = table_new();
  for (int i = 1; i < argc; i++) add_words(t, argv[i]);
  printf("%zu different words\n", table_size(t));
  table_free(t);
  return 0;
}
