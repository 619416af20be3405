#include "count.h"

#include <string.h>

void add_words(struct table *t, const char *text) {
  const char *blank = " \t\n";
  while (*text) {
    text += strspn(text, blank);
    size_t length = strcspn(text, blank);
    if (length) table_add(t, text, length);
    text += length;
  }
}
