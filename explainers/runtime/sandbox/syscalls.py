"""Numbers of the system calls that a model may make: name -> (x86-64, aarch64); None where an architecture has it not.

What is in none of these tables is refused. Sources: asm/unistd_64.h and asm-generic/unistd.h of the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

Numbers = Mapping[str, tuple[int | None, int | None]]

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column, AUDIT_ARCH_* of linux/audit.h
NEWEST = 463  # the first number that was free when the tables were made: from here on a call does not exist
X32 = 0x40000000  # numbers of the x32 ABI have this bit

ALLOWED: Numbers = MappingProxyType(
    {
        # files that are open
        "read": (0, 63),
        "write": (1, 64),
        "readv": (19, 65),
        "writev": (20, 66),
        "pread64": (17, 67),
        "pwrite64": (18, 68),
        "preadv": (295, 69),
        "pwritev": (296, 70),
        "preadv2": (327, 286),
        "pwritev2": (328, 287),
        "lseek": (8, 62),
        "close": (3, 57),
        "close_range": (436, 436),
        "dup": (32, 23),
        "dup2": (33, None),
        "dup3": (292, 24),
        "fstat": (5, 80),
        "fsync": (74, 82),
        "fdatasync": (75, 83),
        "ftruncate": (77, 46),
        "fallocate": (285, 47),
        "fadvise64": (221, 223),
        "readahead": (187, 213),
        "flock": (73, 32),
        "copy_file_range": (326, 285),
        "sendfile": (40, 71),
        "pipe": (22, None),
        "pipe2": (293, 59),
        "poll": (7, None),
        "ppoll": (271, 73),
        "select": (23, None),
        "pselect6": (270, 72),
        "epoll_create1": (291, 20),
        "epoll_ctl": (233, 21),
        "epoll_wait": (232, None),
        "epoll_pwait": (281, 22),
        "epoll_pwait2": (441, 441),
        "eventfd2": (290, 19),
        "fstatfs": (138, 44),
        "getdents64": (217, 61),
        # files by path, where Landlock decides which
        "creat": (85, None),
        "access": (21, None),
        "faccessat": (269, 48),
        "faccessat2": (439, 439),
        "stat": (4, None),
        "lstat": (6, None),
        "newfstatat": (262, 79),
        "statx": (332, 291),
        "readlink": (89, None),
        "readlinkat": (267, 78),
        "statfs": (137, 43),
        "getcwd": (79, 17),
        "chdir": (80, 49),
        "fchdir": (81, 50),
        "mkdir": (83, None),
        "mkdirat": (258, 34),
        "rmdir": (84, None),
        "unlink": (87, None),
        "unlinkat": (263, 35),
        "rename": (82, None),
        "renameat": (264, 38),
        "renameat2": (316, 276),
        "link": (86, None),
        "linkat": (265, 37),
        "symlink": (88, None),
        "symlinkat": (266, 36),
        "umask": (95, 166),
        # memory
        "brk": (12, 214),
        "mmap": (9, 222),
        "munmap": (11, 215),
        "mprotect": (10, 226),
        "mremap": (25, 216),
        "madvise": (28, 233),
        "msync": (26, 227),
        "mincore": (27, 232),
        "mbind": (237, 235),
        "get_mempolicy": (239, 236),
        "set_mempolicy": (238, 237),
        "membarrier": (324, 283),
        # time and chance
        "clock_gettime": (228, 113),
        "clock_getres": (229, 114),
        "clock_nanosleep": (230, 115),
        "gettimeofday": (96, 169),
        "time": (201, None),
        "nanosleep": (35, 101),
        "getitimer": (36, 102),
        "setitimer": (38, 103),
        "alarm": (37, None),
        "pause": (34, None),
        "times": (100, 153),
        "getrandom": (318, 278),
        # threads and its own life
        "exit": (60, 93),
        "exit_group": (231, 94),
        "gettid": (186, 178),
        "set_tid_address": (218, 96),
        "set_robust_list": (273, 99),
        "futex": (202, 98),
        "futex_waitv": (449, 449),
        "rseq": (334, 293),
        "sched_yield": (24, 124),
        "sched_getaffinity": (204, 123),
        "sched_getparam": (143, 121),
        "sched_getscheduler": (145, 120),
        "sched_get_priority_max": (146, 125),
        "sched_get_priority_min": (147, 126),
        "getpriority": (140, 141),
        "getcpu": (309, 168),
        "arch_prctl": (158, None),
        "restart_syscall": (219, 128),
        "wait4": (61, 260),
        "waitid": (247, 95),
        # signals that it gets
        "rt_sigaction": (13, 134),
        "rt_sigprocmask": (14, 135),
        "rt_sigreturn": (15, 139),
        "rt_sigpending": (127, 136),
        "rt_sigsuspend": (130, 133),
        "rt_sigtimedwait": (128, 137),
        "sigaltstack": (131, 132),
        # who and where it is
        "getpid": (39, 172),
        "getppid": (110, 173),
        "getpgrp": (111, None),
        "getpgid": (121, 155),
        "getsid": (124, 156),
        "getuid": (102, 174),
        "geteuid": (107, 175),
        "getgid": (104, 176),
        "getegid": (108, 177),
        "getresuid": (118, 148),
        "getresgid": (120, 150),
        "getgroups": (115, 158),
        "getrlimit": (97, 163),
        "getrusage": (98, 165),
        "sysinfo": (99, 179),
        "uname": (63, 160),
        "capget": (125, 90),
        # the socket that it was given; it can neither make nor name another
        "recvfrom": (45, 207),
        "recvmsg": (47, 212),
        "shutdown": (48, 210),
        "getsockname": (51, 204),
        "getpeername": (52, 205),
        "getsockopt": (55, 209),
    }
)

# allowed with some arguments only: see seccomp.py
LIMITED: Numbers = MappingProxyType(
    {
        "open": (2, None),
        "openat": (257, 56),
        "clone": (56, 220),
        "clone3": (435, 435),
        "kill": (62, 129),
        "tgkill": (234, 131),
        "prlimit64": (302, 261),
        "prctl": (157, 167),
        "ioctl": (16, 29),
        "fcntl": (72, 25),
        "sendto": (44, 206),
        "sched_setaffinity": (203, 122),
    }
)

# what CUDA's driver needs besides
OF_A_GPU: Numbers = MappingProxyType(
    {
        "memfd_create": (319, 279),
        "mlock": (149, 228),
        "mlock2": (325, 284),
        "munlock": (150, 229),
        "sched_setscheduler": (144, 119),
        "move_pages": (279, 239),
    }
)
