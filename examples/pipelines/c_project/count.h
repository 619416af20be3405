/* Counting words. */
#ifndef COUNT_H
#define COUNT_H
#include <stddef.h>

struct table;
struct table* table_new(void);
void table_add(struct table* t, const char* word, size_t length);
size_t table_count(const struct table* t, const char* word);
size_t table_size(const struct table* t);
void table_free(struct table* t);

void add_words(struct table* t, const char* text);
#endif
