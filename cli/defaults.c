#include "defaults.h"

#include <fcntl.h>
#include <gelf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CODE_MAX 32 /* bytes in which a literal is returned */

/* What of the file lies at an address of its own, and how much follows; NULL: nothing. */
static const uint8_t *bytes_at(Elf *elf, const uint8_t *image, size_t size, uint64_t address,
                               size_t *ret_length)
{
    size_t count = 0;
    if (elf_getphdrnum(elf, &count) < 0)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr part;
        if (!gelf_getphdr(elf, (int)i, &part) || part.p_type != PT_LOAD || address < part.p_vaddr ||
            address - part.p_vaddr >= part.p_filesz || part.p_offset >= size ||
            part.p_filesz > size - part.p_offset)
            continue;
        uint64_t within = address - part.p_vaddr;
        *ret_length = (size_t)(part.p_filesz - within);
        return image + part.p_offset + within;
    }
    return NULL;
}

/* The address of the function in one of the symbol tables; 0: it is not there. */
static uint64_t find_in(Elf_Scn *section, Elf *elf)
{
    GElf_Shdr header;
    if (!gelf_getshdr(section, &header) ||
        (header.sh_type != SHT_SYMTAB && header.sh_type != SHT_DYNSYM) || header.sh_entsize == 0)
        return 0;
    Elf_Data *data = elf_getdata(section, NULL);
    for (size_t i = 0; data && i < header.sh_size / header.sh_entsize; i++) {
        GElf_Sym symbol;
        if (!gelf_getsym(data, (int)i, &symbol) || symbol.st_shndx == SHN_UNDEF ||
            GELF_ST_TYPE(symbol.st_info) != STT_FUNC)
            continue;
        const char *name = elf_strptr(elf, header.sh_link, symbol.st_name);
        if (name && strcmp(name, BL_DEFAULTS_FUNCTION) == 0)
            return symbol.st_value;
    }
    return 0;
}

static uint64_t find_function(Elf *elf)
{
    uint64_t address = 0;
    for (Elf_Scn *section = NULL; address == 0 && (section = elf_nextscn(elf, section));)
        address = find_in(section, elf);
    return address;
}

static bool is_at(const uint8_t *code, size_t left, const char *bytes, size_t length)
{
    return left >= length && memcmp(code, bytes, length) == 0;
}

static uint32_t word_at(const uint8_t *code)
{
    uint32_t word;
    memcpy(&word, code, sizeof(word));
    return word;
}

/* The address that x86-64 code returns when that is all it does; 0 otherwise. */
static uint64_t find_returned(const uint8_t *code, size_t length, uint64_t address)
{
    uint64_t returned = 0;
    size_t at = 0;
    length = length < CODE_MAX ? length : CODE_MAX;
    while (at < length) {
        const uint8_t *here = code + at;
        size_t left = length - at;
        if (*here == 0xc3)
            return returned;
        if (is_at(here, left, "\xf3\x0f\x1e\xfa", 4)) { /* endbr64 */
            at += 4;
        } else if (is_at(here, left, "\x48\x89\xe5", 3)) { /* mov %rsp, %rbp */
            at += 3;
        } else if (*here == 0x55 || *here == 0x5d || *here == 0xc9) { /* push, pop %rbp, leave */
            at += 1;
        } else if (is_at(here, left, "\x48\x8d\x05", 3) && left >= 7) { /* lea x(%rip), %rax */
            at += 7;
            returned = address + at + (uint64_t)(int64_t)(int32_t)word_at(here + 3);
        } else if (*here == 0xb8 && left >= 5) { /* mov $x, %eax */
            at += 5;
            returned = word_at(here + 1);
        } else if (is_at(here, left, "\x48\xc7\xc0", 3) && left >= 7) { /* mov $x, %rax */
            at += 7;
            returned = (uint64_t)(int64_t)(int32_t)word_at(here + 3);
        } else {
            return 0;
        }
    }
    return 0;
}

static int read_literal(Elf *elf, const char *path, char **ret_text, struct bl_error *error)
{
    size_t size = 0;
    size_t length = 0;
    const uint8_t *image = (const uint8_t *)elf_rawfile(elf, &size);
    GElf_Ehdr header;
    uint64_t function = image && gelf_getehdr(elf, &header) && header.e_machine == EM_X86_64
                            ? find_function(elf)
                            : 0;
    if (function == 0)
        return 0;
    const uint8_t *code = bytes_at(elf, image, size, function, &length);
    uint64_t returned = code ? find_returned(code, length, function) : 0;
    const uint8_t *text = returned ? bytes_at(elf, image, size, returned, &length) : NULL;
    size_t text_length = text ? strnlen((const char *)text, length) : 0;
    if (!text || text_length == length || text_length > BL_DEFAULTS_MAX)
        return bl_error_set(error,
                            "%s: its " BL_DEFAULTS_FUNCTION " does more than return a literal, "
                            "and is not read; give its rules by --suppressions",
                            path);
    *ret_text = strndup((const char *)text, text_length);
    return *ret_text ? 1 : bl_error_set(error, "not enough memory for suppressions");
}

int bl_defaults_read(const char *path, char **ret_text, struct bl_error *error)
{
    int outcome = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return 0;
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
    if (elf && elf_kind(elf) == ELF_K_ELF)
        outcome = read_literal(elf, path, ret_text, error);
    elf_end(elf);
    close(fd);
    return outcome;
}
