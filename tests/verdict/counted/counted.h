/* A small library of counted buffers, as the generated programs use it. It is described to the shim
 * by counted.profile alone. Threads: any, but for lists. Errors: a program without memory ends. */
#ifndef COUNTED_H
#define COUNTED_H

#define COUNTED_BUGS 16

struct counted {
    int refs;
    int lost[COUNTED_BUGS]; /* for the program: references that each of its bugs did not give back
                             */
};

struct counted *counted_new(int bytes);
struct counted *counted_ref(struct counted *buffer);
void counted_unref(struct counted *buffer);

/* A list whose elements it gives back with its own end, or does not. */
struct counted_list;
struct counted_list *counted_list_new(int gives_back);
void counted_list_add(struct counted_list *list, struct counted *buffer);
void counted_list_free(struct counted_list *list);

#endif
