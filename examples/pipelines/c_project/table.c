#include "count.h"

#include <stdlib.h>
#include <string.h>

struct entry {
  char *word;
  size_t count;
  struct entry *next;
};
struct table {
  struct entry *first;
  size_t size;
};

struct table *table_new(void) { return calloc(1, sizeof(struct table)); }

static struct entry *find(const struct table *t, const char *word, size_t length) {
  for (struct entry *e = t->first; e; e = e->next)
    if (strlen(e->word) == length && memcmp(e->word, word, length) == 0) return e;
  return NULL;
}

void table_add(struct table *t, const char *word, size_t length) {
  struct entry *e = find(t, word, length);
  if (!e) {
    e = calloc(1, sizeof *e);
    e->word = calloc(length + 1, 1);
    memcpy(e->word, word, length);
    e->next = t->first;
    t->first = e;
    t->size++;
  }
  e->count++;
}

size_t table_count(const struct table *t, const char *word) {
  const struct entry *e = find(t, word, strlen(word));
  return e ? e->count : 0;
}

size_t table_size(const struct table *t) { return t->size; }

void table_free(struct table *t) {
  while (t->first) {
    struct entry *next = t->first->next;
    free(t->first->word);
    free(t->first);
    t->first = next;
  }
  free(t);
}
