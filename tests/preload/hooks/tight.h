/* Buffers whose functions begin with a loop: no entry of theirs can be hooked. */
#ifndef TIGHT_H
#define TIGHT_H

struct tight {
    int refs;
};

struct tight *tight_new(struct tight *storage);
void tight_ref(struct tight *t);
void tight_unref(struct tight *t);

#endif
