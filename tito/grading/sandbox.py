"""Locks up the process that calls it: files, system calls, network, limits. Linux does all of it, others the limits.

Each protection is tried, not guessed from versions, and `lock_up` says which hold. What can be had without root
is used: a private view of the system (namespaces), Landlock for files, seccomp for system calls, resource limits.
Nothing here imports more than the standard library, for it runs before anything else does.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import sys

PROTECTIONS = {
    "limits": "CPU time, memory, file size and open files are limited",
    "files": "only Python and the course's earlier chapters can be read, only the scratch directory written",
    "calls": "no network, no further processes, no signals to or looks into other processes",
    "view": "a file system of its own, read-only but for a small scratch directory, and an empty network",
}
NEEDED = ("limits", "files", "calls")

MB = 1024 * 1024
FILE_MB, SCRATCH_MB, OPEN_FILES, THREADS = 64, 128, 64, 64
SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/ld.so.cache", "/etc/localtime")
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")

# prctl(2), unshare(2), mount(2)
SET_DEATH_SIGNAL, SET_SECCOMP, SET_NO_NEW_PRIVILEGES = 1, 22, 38
NEW_USER, NEW_MOUNTS, NEW_NETWORK, NEW_IPC = 0x10000000, 0x00020000, 0x40000000, 0x08000000
PRIVATE, RECURSIVE, NO_SUID, NO_DEVICES = 1 << 18, 1 << 14, 2, 4
READ_ONLY, WHOLE_TREE, HERE = 1, 0x8000, -100


def lock_up(work: str, readable: list[str], memory_mb: int, seconds: int) -> dict[str, str]:
    """Lock up this process for good; what each protection lacks, "" where it holds."""
    lacks = {"limits": tried(limit, memory_mb, seconds)}
    if not sys.platform.startswith("linux"):
        return lacks | dict.fromkeys(("files", "calls", "view"), f"{platform.system()} has none that tito knows")
    tried(prctl, SET_DEATH_SIGNAL, 9)  # nobody is left behind when the grader is killed
    lacks["view"] = tried(own_view, work)
    lacks["files"] = tried(restrict_files, work, readable, not lacks["view"])
    tried(drop_capabilities)
    lacks["calls"] = tried(restrict_calls, not lacks["view"])
    return lacks


def tried(protect, *arguments) -> str:
    try:
        protect(*arguments)
    except (OSError, ImportError, AttributeError, ValueError) as error:
        return str(error) or type(error).__name__
    return ""


def limit(memory_mb: int, seconds: int) -> None:
    """Bound what this process may take; none of it can be raised again."""
    import resource

    amounts = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: FILE_MB * MB,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    for kind, amount in amounts.items():
        resource.setrlimit(kind, (amount, amount))
    if sys.platform != "darwin":  # which knows the limit and does not keep it
        resource.setrlimit(resource.RLIMIT_AS, (memory_mb * MB, memory_mb * MB))


def own_view(work: str) -> None:
    """A view of the file system in which all is read-only, and a scratch directory that ends with the process."""
    user, group = os.getuid(), os.getgid()
    call("unshare", NEW_USER | NEW_MOUNTS | NEW_NETWORK | NEW_IPC)
    with contextlib.suppress(OSError):
        write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"{user} {user} 1")
    write("/proc/self/gid_map", f"{group} {group} 1")
    call("mount", b"none", b"/", None, PRIVATE | RECURSIVE, None)
    only_read = struct.pack("QQQQ", READ_ONLY, 0, 0, 0)
    system_call(442, HERE, b"/", WHOLE_TREE, only_read, len(only_read))  # mount_setattr
    call("mount", b"tmpfs", b"/proc", b"tmpfs", NO_SUID | NO_DEVICES | READ_ONLY, None)  # who else runs is not seen
    options = f"size={SCRATCH_MB}m,nr_inodes=4096,mode=700".encode()
    call("mount", b"tmpfs", os.fsencode(work), b"tmpfs", NO_SUID | NO_DEVICES, options)
    os.chdir(work)
    import resource

    resource.setrlimit(resource.RLIMIT_NPROC, (THREADS, THREADS))  # counted in this view alone


def restrict_files(work: str, readable: list[str], read_only: bool) -> None:
    """Landlock: what is not named here can neither be read nor written."""
    version = system_call(444, None, 0, 1)  # landlock_create_ruleset, asked for its version
    if version < 3 and not read_only:
        raise OSError("this Linux is older than 6.2 and grants no view of its own: files could be truncated")
    handled = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    network, scope = (3 if version >= 4 else 0), (3 if version >= 6 else 0)
    rules = struct.pack("QQQ", handled, network, scope)[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = system_call(444, rules, len(rules), 0)
    read_file, read_both, write_file = 1 << 2, 1 << 2 | 1 << 3, 1 << 1
    for path in (*SYSTEM, *readable):
        allow(ruleset, path, read_both if os.path.isdir(path) else read_file)
    for path in DEVICES:
        allow(ruleset, path, read_file | write_file)
    no_execution_nor_devices = 1 | 1 << 6 | 1 << 11 | 1 << 15
    allow(ruleset, work, handled & ~no_execution_nor_devices)
    prctl(SET_NO_NEW_PRIVILEGES, 1)
    system_call(446, ruleset, 0)  # landlock_restrict_self
    os.close(ruleset)


def allow(ruleset: int, path: str, access: int) -> None:
    if not os.path.exists(path):
        return
    beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", access, beneath)
        system_call(445, ruleset, 1, rule, 0)  # landlock_add_rule
    finally:
        os.close(beneath)


def drop_capabilities() -> None:
    """Root inside is as weak as anybody."""
    header, none = struct.pack("Ii", 0x20080522, 0), struct.pack("6I", *[0] * 6)
    call("capset", header, none)


# Numbers of system calls, for x86-64 and for 64-bit ARM (None: it has none of that name).
FORBIDDEN = {
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "socket": (41, 198), "socketpair": (53, 199),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438),
    "setsid": (112, 157), "setpgid": (109, 154), "setpriority": (141, 140), "ioprio_set": (251, 30),
    "sched_setparam": (142, 118), "sched_setscheduler": (144, 119), "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274), "migrate_pages": (256, 238), "move_pages": (279, 239),
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "unshare": (272, 97), "setns": (308, 268),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "mount_setattr": (442, 442),
    "fadvise64": (221, 223), "readahead": (187, 213), "mincore": (27, 232), "cachestat": (451, 451),
    "preadv2": (327, 286), "pwritev2": (328, 287), "flock": (73, 32),
    "inotify_init": (253, None), "inotify_init1": (294, 26), "inotify_add_watch": (254, 27),
    "fanotify_init": (300, 262),
    "futex_wake": (454, 454), "futex_requeue": (456, 456),
    "getpgid": (121, 155), "getsid": (124, 156), "getpriority": (140, 141), "ioprio_get": (252, 31),
    "sched_getparam": (143, 121), "sched_getscheduler": (145, 120), "sched_getattr": (315, 275),
    "sched_rr_get_interval": (148, 127), "get_robust_list": (274, 100),
    "io_setup": (206, 0), "timer_create": (222, 107),  # of which all processes of a user have so many together
    "personality": (135, 92), "syslog": (103, 116), "process_madvise": (440, 440), "process_mrelease": (448, 448),
}  # fmt: skip
# What Landlock does not see, and a read-only view makes harmless.
CHANGES_OWNER_OR_MODE = {
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "setxattrat": (463, 463), "removexattrat": (466, 466), "utime": (132, None), "utimes": (235, None),
    "futimesat": (261, None), "utimensat": (280, 88),
}  # fmt: skip
# The process is argument 0; to some, 0 means the one that calls, to `kill` it means the process group.
ITSELF_ONLY = {"kill": (62, 129), "tgkill": (234, 131)}
ITSELF_OR_0 = {"prlimit64": (302, 261), "sched_getaffinity": (204, 123)}
# Of clocks, those of the machine and of the calling process and thread: the others' numbers are negative.
CLOCKS, OF_ANOTHER = {"clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115)}, 1 << 31
# Of fcntl, duplicating a descriptor and the flags of one: no lease or lock keeps anybody else from a file.
FCNTL_ALLOWED = (0, 1, 2, 3, 4, 1030)
CLONE, CLONE3, PRCTL, FCNTL, IOCTL = (56, 220), (435, 435), (157, 167), (72, 25), (16, 29)
MADVISE = (28, 233)
# Of madvise, what memory allocators say; the rest moves pages of files in and out, which other processes notice.
MADVISE_ALLOWED = (4, 8, 14, 15)
FUTEX, FUTEX_PRIVATE = (202, 98), 0x80
# Of futex without that bit, waiting: for the end of a thread. A call to who waits at a page of a file reaches others.
FUTEX_ALLOWED = (0, 9, 0x100, 0x109)
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

# Berkeley packet filter: load a word; jump where equal, at least, a bit is set; return
LOAD, EQUAL, AT_LEAST, HAS_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, MACHINE, ARGUMENTS = 0, 4, 16  # offsets in what the filter is given
ALLOWED, KILLED, REFUSED, UNKNOWN = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026  # EPERM and ENOSYS
THREAD = 0x00010000


def restrict_calls(read_only: bool) -> None:
    """seccomp: system calls that reach beyond this process fail."""
    if platform.machine() not in MACHINES or struct.calcsize("P") != 8:
        raise OSError(f"tito knows no system calls of {platform.machine()}")
    program = call_filter(*MACHINES[platform.machine()], os.getpid(), read_only)
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code)
    described = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    prctl(SET_NO_NEW_PRIVILEGES, 1)
    prctl(SET_SECCOMP, 2, described)


def call_filter(column: int, machine: int, own: int, read_only: bool) -> list[tuple[int, int, int, int]]:
    """The filter's lines: instruction, lines to skip where true, where false, and a number."""
    forbidden = FORBIDDEN | ({} if read_only else CHANGES_OWNER_OR_MODE)
    lines = [(LOAD, 0, 0, MACHINE), (EQUAL, 1, 0, machine), (RETURN, 0, 0, KILLED), (LOAD, 0, 0, NUMBER)]
    lines += [(AT_LEAST, 0, 1, 0x40000000), (RETURN, 0, 0, REFUSED)]  # the numbers of x32
    for number in (numbers[column] for numbers in forbidden.values()):
        lines += [(EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSED)] if number is not None else []
    lines += [(EQUAL, 0, 1, CLONE3[column]), (RETURN, 0, 0, UNKNOWN)]  # the C library then takes clone
    lines += when(CLONE[column], 0, [(HAS_BIT, 1, 0, THREAD), (RETURN, 0, 0, REFUSED)])
    for numbers in ITSELF_ONLY.values():
        lines += when(numbers[column], 0, only((own,)))
    for numbers in ITSELF_OR_0.values():
        lines += when(numbers[column], 0, only((own, 0)))
    for numbers in CLOCKS.values():
        lines += when(numbers[column], 0, [(HAS_BIT, 0, 1, OF_ANOTHER), (RETURN, 0, 0, REFUSED)])
    for number, argument, bad in (
        (PRCTL[column], 0, (SET_DEATH_SIGNAL,)),
        (IOCTL[column], 1, (0x8901, 0x8902, 0x5412)),  # signals by way of a pipe, and typing into a terminal
    ):
        lines += when(number, argument, [line for b in bad for line in ((EQUAL, 0, 1, b), (RETURN, 0, 0, REFUSED))])
    shared = only(FUTEX_ALLOWED)
    lines += when(FUTEX[column], 1, [(HAS_BIT, len(shared), 0, FUTEX_PRIVATE), *shared])
    lines += when(FCNTL[column], 1, only(FCNTL_ALLOWED))
    lines += when(MADVISE[column], 2, only(MADVISE_ALLOWED))
    return [*lines, (RETURN, 0, 0, ALLOWED)]


def only(good: tuple[int, ...]) -> list:
    """Lines that refuse every argument but these."""
    return [*((EQUAL, len(good) - i, 0, number) for i, number in enumerate(good)), (RETURN, 0, 0, REFUSED)]


def when(number: int, argument: int, then: list) -> list:
    """Lines that look at an argument of one system call."""
    return [
        (EQUAL, 0, len(then) + 2, number),
        (LOAD, 0, 0, ARGUMENTS + 8 * argument),
        *then,
        (LOAD, 0, 0, NUMBER),
    ]


def write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def prctl(option: int, *arguments) -> None:
    call("prctl", option, *arguments, *[0] * (4 - len(arguments)))


def system_call(number: int, *arguments) -> int:
    return call("syscall", number, *arguments)


def call(name: str, *arguments) -> int:
    """A function of the C library; its error as an exception."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    wrapped = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    function.restype = ctypes.c_long if name == "syscall" else ctypes.c_int
    result = function(*wrapped)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result
