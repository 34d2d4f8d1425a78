/* SPDX-License-Identifier: MIT
 * Will LD_PRELOAD reach this program? The dynamic linker silently ignores it in
 * set-id programs, and static programs have no dynamic linker. */
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tools/tool.h"

#if UINTPTR_MAX > 0xffffffffu
enum { OUR_CLASS = ELFCLASS64 };
typedef Elf64_Ehdr Ehdr;
typedef Elf64_Phdr Phdr;
typedef Elf64_Dyn Dyn;
#else
enum { OUR_CLASS = ELFCLASS32 };
typedef Elf32_Ehdr Ehdr;
typedef Elf32_Phdr Phdr;
typedef Elf32_Dyn Dyn;
#endif

/* Is it a library? One library that can be run matters: the dynamic linker, which loads a preload
 * object into the program that it is given. */
static bool is_library(int fd, const Phdr *dynamic)
{
	Dyn d = { .d_tag = DT_NULL };

	for (size_t at = 0; at + sizeof d <= dynamic->p_filesz; at += sizeof d) {
		if (pread(fd, &d, sizeof d, (off_t)(dynamic->p_offset + at)) != (ssize_t)sizeof d ||
		    d.d_tag == DT_NULL || d.d_tag == DT_SONAME)
			break;
	}
	return d.d_tag == DT_SONAME;
}

static const char *elf_obstacle(int fd, const Ehdr *eh)
{
	if (eh->e_ident[EI_CLASS] != OUR_CLASS)
		return "it is built for another word size";
	for (unsigned i = 0; i < eh->e_phnum; i++) {
		Phdr ph;
		off_t at = (off_t)(eh->e_phoff + (uint64_t)i * eh->e_phentsize);

		if (pread(fd, &ph, sizeof ph, at) != (ssize_t)sizeof ph)
			return NULL;
		if (ph.p_type == PT_INTERP || (ph.p_type == PT_DYNAMIC && is_library(fd, &ph)))
			return NULL;
	}
	return "it is statically linked";
}

static const char *obstacle(const char *path, bool script_ok)
{
	const char *why = NULL;
	struct stat st;
	union {
		Ehdr eh;
		char text[256];
	} head;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return NULL; /* executable but not readable: not known */
	memset(&head, 0, sizeof head);
	n = read(fd, &head, sizeof head.text - 1);
	if (fstat(fd, &st) == 0 &&
	    (((st.st_mode & S_ISUID) && st.st_uid != geteuid()) ||
	     ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getegid())))
		why = "it changes its user or group (set-id)";
	else if (geteuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0)
		why = "it gains capabilities";
	else if (n >= (ssize_t)sizeof head.eh && memcmp(head.eh.e_ident, ELFMAG, SELFMAG) == 0)
		why = elf_obstacle(fd, &head.eh);
	else if (n > 2 && head.text[0] == '#' && head.text[1] == '!' && script_ok) {
		char *interpreter = head.text + 2 + strspn(head.text + 2, " \t");

		interpreter[strcspn(interpreter, " \t\r\n")] = '\0';
		why = obstacle(interpreter, false);
	}
	close(fd);
	return why;
}

const char *tool_preload_obstacle(const char *path)
{
	return obstacle(path, true);
}
