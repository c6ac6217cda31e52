/* SPDX-License-Identifier: Apache-2.0 */
/* ELF files for x86, both classes, as far as loading needs them. Nothing in the file is believed before it is checked.
 */
#include "l0/image.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

static int bad(const struct elf *elf, struct refusal *why, const char *what)
{
	return refuse(why, -ENOEXEC, "%s %s: build it as a static x86 ELF executable", elf->name, what);
}

/* Is [offset, +size) inside the file? */
static bool inside(const struct elf *elf, uint64_t offset, uint64_t size)
{
	return offset <= elf->bytes && size <= elf->bytes - offset;
}

static void take_header64(struct elf *elf)
{
	Elf64_Ehdr h;

	memcpy(&h, elf->data, sizeof(h));
	elf->entry = h.e_entry;
	elf->segment_offset = h.e_phoff;
	elf->segment_count = h.e_phnum;
	elf->segment_bytes = h.e_phentsize;
	elf->section_offset = h.e_shoff;
	elf->section_count = h.e_shnum;
	elf->section_bytes = h.e_shentsize;
	elf->names_index = h.e_shstrndx;
}

static void take_header32(struct elf *elf)
{
	Elf32_Ehdr h;

	memcpy(&h, elf->data, sizeof(h));
	elf->entry = h.e_entry;
	elf->segment_offset = h.e_phoff;
	elf->segment_count = h.e_phnum;
	elf->segment_bytes = h.e_phentsize;
	elf->section_offset = h.e_shoff;
	elf->section_count = h.e_shnum;
	elf->section_bytes = h.e_shentsize;
	elf->names_index = h.e_shstrndx;
}

/* e_type and e_machine stand at the same place in both classes. */
static int check_kind(struct elf *elf, struct refusal *why)
{
	Elf64_Half type, machine;

	memcpy(&type, elf->data + offsetof(Elf64_Ehdr, e_type), sizeof(type));
	memcpy(&machine, elf->data + offsetof(Elf64_Ehdr, e_machine), sizeof(machine));
	if (machine != EM_X86_64 && machine != EM_386)
		return refuse(
		        why, -ENOEXEC, "%s is for ELF machine %u, not x86: build it for x86-64", elf->name, machine);
	if (type != ET_EXEC)
		return bad(elf, why, "is no executable (ET_EXEC)");
	return 0;
}

int elf_open(struct elf *elf, const char *name, const void *data, size_t bytes, struct refusal *why)
{
	int error;

	*elf = (struct elf){.data = data, .bytes = bytes, .name = name};
	if (bytes < EI_NIDENT || memcmp(data, ELFMAG, SELFMAG) != 0)
		return bad(elf, why, "is no ELF file");
	elf->is_64 = elf->data[EI_CLASS] == ELFCLASS64;
	if (!elf->is_64 && elf->data[EI_CLASS] != ELFCLASS32)
		return bad(elf, why, "has an unknown ELF class");
	if (elf->data[EI_DATA] != ELFDATA2LSB)
		return bad(elf, why, "is not little endian");
	if (bytes < (elf->is_64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)))
		return bad(elf, why, "is cut off inside its ELF header");
	error = check_kind(elf, why);
	if (error)
		return error;
	if (elf->is_64)
		take_header64(elf);
	else
		take_header32(elf);
	if (elf->segment_count == 0)
		return bad(elf, why, "has no program headers");
	if (elf->segment_bytes < (elf->is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) ||
	        !inside(elf, elf->segment_offset, (uint64_t)elf->segment_count * elf->segment_bytes))
		return bad(elf, why, "is cut off inside its program headers");
	return 0;
}

int elf_segment(const struct elf *elf, unsigned i, struct elf_segment *segment, struct refusal *why)
{
	const uint8_t *at = elf->data + elf->segment_offset + (uint64_t)i * elf->segment_bytes;

	if (elf->is_64) {
		Elf64_Phdr h;
		memcpy(&h, at, sizeof(h));
		*segment = (struct elf_segment){
		        h.p_offset, h.p_filesz, h.p_paddr, h.p_vaddr, h.p_memsz, h.p_type == PT_LOAD && h.p_memsz};
	} else {
		Elf32_Phdr h;
		memcpy(&h, at, sizeof(h));
		*segment = (struct elf_segment){
		        h.p_offset, h.p_filesz, h.p_paddr, h.p_vaddr, h.p_memsz, h.p_type == PT_LOAD && h.p_memsz};
	}
	if (!segment->loads)
		return 0;
	if (!inside(elf, segment->offset, segment->file_bytes))
		return refuse(why, -ENOEXEC, "%s is cut off: segment %u needs %#llx bytes at %#llx of a file of %#zx",
		        elf->name, i, (unsigned long long)segment->file_bytes, (unsigned long long)segment->offset,
		        elf->bytes);
	if (segment->file_bytes > segment->memory_bytes)
		return refuse(why, -ENOEXEC, "%s: segment %u has more bytes in the file than in memory", elf->name, i);
	return 0;
}

struct section {
	uint32_t name, type;
	uint64_t offset, bytes;
};

static struct section section_at(const struct elf *elf, unsigned i)
{
	const uint8_t *at = elf->data + elf->section_offset + (uint64_t)i * elf->section_bytes;

	if (elf->is_64) {
		Elf64_Shdr h;
		memcpy(&h, at, sizeof(h));
		return (struct section){h.sh_name, h.sh_type, h.sh_offset, h.sh_size};
	}
	Elf32_Shdr h;
	memcpy(&h, at, sizeof(h));
	return (struct section){h.sh_name, h.sh_type, h.sh_offset, h.sh_size};
}

int elf_section(const struct elf *elf, const char *name, const uint8_t **contents, uint64_t *bytes, struct refusal *why)
{
	const size_t wanted = strlen(name) + 1;
	struct section names;

	if (elf->section_count == 0)
		return -ENOENT;
	if (elf->section_bytes < (elf->is_64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr)) ||
	        !inside(elf, elf->section_offset, (uint64_t)elf->section_count * elf->section_bytes) ||
	        elf->names_index >= elf->section_count)
		return bad(elf, why, "is cut off inside its section headers");
	names = section_at(elf, elf->names_index);
	if (!inside(elf, names.offset, names.bytes))
		return bad(elf, why, "is cut off inside its section names");
	for (unsigned i = 0; i < elf->section_count; i++) {
		const struct section s = section_at(elf, i);
		if (s.name > names.bytes || names.bytes - s.name < wanted ||
		        memcmp(elf->data + names.offset + s.name, name, wanted) != 0)
			continue;
		if (s.type == SHT_NOBITS || !inside(elf, s.offset, s.bytes))
			return refuse(why, -ENOEXEC, "%s: section %s is not in the file", elf->name, name);
		*contents = elf->data + s.offset;
		*bytes = s.bytes;
		return 0;
	}
	return -ENOENT;
}

static int check_range(const struct elf *elf, unsigned i, const struct elf_segment *s, uint64_t low, uint64_t high,
        struct refusal *why)
{
	if (s->physical >= low && s->physical <= high && s->memory_bytes <= high - s->physical)
		return 0;
	return refuse(why, -ENOEXEC,
	        "%s: segment %u wants guest memory [%#llx, +%#llx), but images load into [%#llx, %#llx): link it there "
	        "or "
	        "give the guest more memory",
	        elf->name, i, (unsigned long long)s->physical, (unsigned long long)s->memory_bytes,
	        (unsigned long long)low, (unsigned long long)high);
}

static int check_overlap(const struct elf *elf, unsigned i, const struct elf_segment *s, struct refusal *why)
{
	struct elf_segment other;

	for (unsigned j = 0; j < i; j++) {
		const int error = elf_segment(elf, j, &other, why);
		if (error)
			return error;
		if (other.loads && s->physical < other.physical + other.memory_bytes &&
		        other.physical < s->physical + s->memory_bytes)
			return refuse(why, -ENOEXEC, "%s: segments %u and %u overlap at guest address %#llx", elf->name,
			        j, i, (unsigned long long)s->physical);
	}
	return 0;
}

int elf_load(const struct elf *elf, const struct guest_space *space, uint64_t low, uint64_t high, uint64_t *begin,
        uint64_t *end, struct refusal *why)
{
	struct elf_segment s;

	*begin = ~0ull;
	*end = 0;
	if (high > space->bytes)
		high = space->bytes;
	for (unsigned i = 0; i < elf->segment_count; i++) {
		int error = elf_segment(elf, i, &s, why);
		if (error)
			return error;
		if (!s.loads)
			continue;
		error = check_range(elf, i, &s, low, high, why);
		if (!error)
			error = check_overlap(elf, i, &s, why);
		if (error)
			return error;
		memcpy(space->memory + s.physical, elf->data + s.offset, s.file_bytes);
		memset(space->memory + s.physical + s.file_bytes, 0, s.memory_bytes - s.file_bytes);
		*begin = s.physical < *begin ? s.physical : *begin;
		*end = s.physical + s.memory_bytes > *end ? s.physical + s.memory_bytes : *end;
	}
	return *end ? 0 : refuse(why, -ENOEXEC, "%s has no segment to load", elf->name);
}
