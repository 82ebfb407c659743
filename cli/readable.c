#include "readable.h"

#include "text.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

/* From the C++ runtime this program is linked with. */
extern char *__cxa_demangle(const char *mangled, char *out, size_t *length, int *status);

char *bl_readable_bytes(const char *raw, size_t length)
{
    char *copy = malloc(length * 3 + 1);
    if (copy)
        bl_text_printable(copy, length * 3 + 1, raw, length);
    return copy;
}

static char *printable_copy(const char *raw)
{
    return bl_readable_bytes(raw, strlen(raw));
}

char *bl_readable_name(const char *raw)
{
    /* glibc's internal aliases: __GI___strdup is strdup to everybody else */
    if (strncmp(raw, "__GI_", 5) == 0)
        raw += 5;
    int status = -1;
    char *demangled = strncmp(raw, "_Z", 2) == 0 ? __cxa_demangle(raw, NULL, NULL, &status) : NULL;
    char *copy = printable_copy(demangled && status == 0 ? demangled : raw);
    free(demangled);
    return copy;
}

char *bl_readable_file(Dwarf_Die *unit, const char *raw)
{
    Dwarf_Attribute attribute;
    const char *home = dwarf_formstring(dwarf_attr(unit, DW_AT_comp_dir, &attribute));
    size_t length = home ? strlen(home) : 0;
    if (length > 1 && strncmp(raw, home, length) == 0 && raw[length] == '/')
        raw += length + 1;
    while (strncmp(raw, "./", 2) == 0)
        raw += 2;
    while (strncmp(raw, "../", 3) == 0)
        raw += 3;
    return printable_copy(raw);
}

bool bl_readable_is_of_system(const char *file)
{
    static const char *const places[] = {"/usr/include/", "/usr/local/include/", "/usr/lib/gcc/",
                                         "/usr/lib/llvm-"};
    const char *name = file ? strrchr(file, '/') : NULL;
    for (size_t i = 0; file && i < sizeof(places) / sizeof(places[0]); i++)
        if (strncmp(file, places[i], strlen(places[i])) == 0)
            return true;
    return file && strcmp(name ? name + 1 : file, "bufleak.h") == 0; /* wherever it was copied to */
}
