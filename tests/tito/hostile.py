'''Submissions that mean harm. `test_grading_hostile.py` says what each is worth.

They stand in the toy course's first chapter, whose four tests give 6 points: 3 for `double`, 2 for
`Box_doubled`, 1 for `Box_text`.

`CHEATS` are appended to a blank chapter, which is worth nothing. Those that try something forbidden call
`solve()` where it works, and would have all points: so each of them shows, not just claims, that it does not.
`HARMS` take the place of the last exercise's solution in a chapter that is right otherwise, and cost its point.
They do what is needed to be noticed and no more, should the sandbox have a hole.
In both, `{course}`, `{neighbour}`, `{results}` and `{outside}` are paths of things that are none of theirs.
'''

SOLVE = '''
import ctypes, gc, json, os, signal, socket, subprocess, sys, threading, time

def solve():
    global double
    def double(x):
        if isinstance(x, str):
            raise TypeError("double: x is a str")
        return x + x
    Box.doubled = lambda self: double(self.value)
    Box.text = lambda self: str(self.value)

def works(attempt):
    try:
        attempt()
    except BaseException:
        return
    solve()

def answer(value):
    global double
    double = lambda x: value
    Box.doubled = Box.text = lambda self: value

def to_every_descriptor(*messages):
    for fd in range(64):
        for message in messages:
            try:
                os.write(fd, (message if isinstance(message, str) else json.dumps(message)).encode() + b"\\n")
            except OSError:
                break
'''

CHEATS = {
    "patched check": """
import tinytorch.testing as testing
for name in ("check", "check_raises", "_difference", "_numeric_difference"):
    setattr(testing, name, lambda *a, **k: None)
check = check_raises = lambda *a, **k: None
""",
    "patched numpy": """
np.isclose = np.allclose = np.array_equal = lambda *a, **k: np.bool_(True)
np.testing.assert_allclose = np.asarray = np.array = lambda *a, **k: None
answer(1)
""",
    "patched builtins": """
import builtins
builtins.isinstance = lambda *a: True
builtins.AssertionError = type("Never", (BaseException,), {})
builtins.type = lambda *a: int
answer(6)
double = lambda x: None
""",
    "equals everything": """
class Everything:
    def __getattr__(self, name): return self
    def __call__(self, *a, **k): return self
    __eq__ = __contains__ = __bool__ = lambda *a: True
    __hash__ = lambda self: 1
answer(Everything())
""",
    "a lying array": """
class Liar(np.ndarray):
    def __array__(self, *a, **k): return np.ndarray.__array__(self)
    def __array_ufunc__(self, *a, **k): return np.bool_(True)
    __eq__ = lambda self, other: np.ones((), bool)
answer(np.zeros(()).view(Liar))
""",
    "a lying float": """
class Liar(float):
    __eq__ = __ge__ = __le__ = lambda self, other: True
    __sub__ = __rsub__ = lambda self, other: 0.0
    __hash__ = float.__hash__
answer(Liar(1.0))
""",
    "a lying Tensor": """
class Liar:
    requires_grad = False
    data = property(lambda self: self)
    __eq__ = lambda self, other: True
answer(Liar())
""",
    "not a number": "answer(float('nan'))",
    "a fake result on stdout": """
print(json.dumps({"event": "end", "test": "test_double", "failure": None}))
print("6 passed in 0.01s"); sys.stdout.flush(); sys.stderr.write("passed\\n")
""",
    "a fake result on every descriptor": """
names = ["test_double", "test_double__text", "test_Box_doubled", "test_Box_text", "test_first"]
to_every_descriptor({"event": "imported"}, *[
    {"event": e, "test": n, "failure": None} for n in names for e in ("begin", "end")])
os._exit(0)
""",
    "fake values on every descriptor": """
to_every_descriptor({"event": "imported"}, {"event": "begin", "test": "test_double"}, *[
    {"event": "check", "number": n, "actual": None, "expected": None, "rtol": 1e9, "atol": 1e9} for n in (0, 1)],
    {"event": "end", "test": "test_double", "failure": None})
os._exit(0)
""",
    "values that break the reader": """
to_every_descriptor("[" * 200_000)
""",
    "messages of the wrong kind": """
to_every_descriptor({"event": ["imported"]}, {"event": "begin", "test": {}}, [1], "null", '{"event":', "\\x00\\xff")
""",
    "arrays that do not fit": """
to_every_descriptor({"event": "imported"}, {"event": "begin", "test": "test_double"},
    {"event": "check", "number": 0, "actual": {"array": ["<f8", [10 ** 9, 10 ** 9], ""]}},
    {"event": "check", "number": 1, "actual": {"array": ["|O", [1], "AAAAAAAAAAA="]}})
os._exit(0)
""",
    "a patched worker": """
worker = sys.modules["tito.grading.worker"]
worker.run_test = lambda *a, **k: None
worker.probes = lambda *a, **k: {"check": lambda *a, **k: None, "check_raises": lambda *a, **k: None}
sys.modules["tito.grading.wire"].encode = lambda value, depth=0: 6
""",
    "tricks with sys.modules": """
class Fake(type(sys)):
    def __getattr__(self, name): return lambda *a, **k: None
for name in ("tinytorch.testing", "pytest", "tito.inside", "tito.grading.judge", "json"):
    sys.modules[name] = Fake(name)
sys.meta_path.insert(0, type("Finder", (), {"find_spec": staticmethod(lambda *a: None)}))
""",
    "expected values in memory": """
import ast
table = {}
for thing in gc.get_objects():
    if isinstance(thing, dict) and isinstance(thing.get("tests"), list):
        for test in thing["tests"]:
            for node in ast.walk(ast.parse(test["source"])):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "check":
                    for argument in node.args[1:]:
                        if not any(isinstance(n, ast.Call) for n in ast.walk(argument)):
                            answer(ast.literal_eval(argument))
""",
    "expected values in a frame": """
frame = sys._getframe()
while frame:
    for value in list(frame.f_locals.values()):
        if isinstance(value, dict) and value.get("reference"):
            solve()
    frame = frame.f_back
""",
    "the reference on disk": """
works(lambda: exec(open(r'{course}/modules/source/01_first/first_dev.py').read(), globals()))
""",
    "the package in the checkout": """
def attempt():
    sys.modules.pop("tinytorch.core.first", None)
    source = open(r"{course}/tinytorch/core/first.py").read()
    exec(source, globals())
works(attempt)
""",
    "the package again": """
def attempt():
    del sys.modules["tinytorch.core.first"]
    import tinytorch.core
    delattr(tinytorch.core, "first")
    from tinytorch.core.first import double as found
    assert found(2) == 4
works(attempt)
""",
    "the neighbour's submission": "works(lambda: exec(open(r'{neighbour}/first_dev.py').read(), globals()))",
    "the neighbour's directory": "works(lambda: os.listdir(r'{neighbour}'))",
    "the results": "works(lambda: os.listdir(r'{results}'))",
    "another's result": "works(lambda: open(r'{results}/students/honest.json', 'a'))",
    "a file outside": "works(lambda: open(r'{outside}/mine', 'w'))",
    "a link to the outside": """
def attempt():
    os.symlink(r"{neighbour}/first_dev.py", "link.py")
    open("link.py").read()
works(attempt)
""",
    "the parent's descriptors": "works(lambda: os.listdir(f'/proc/{os.getppid()}/fd'))",
    "the parent's memory": "works(lambda: open(f'/proc/{os.getppid()}/mem', 'rb'))",
    "the parent's environment": "works(lambda: open(f'/proc/{os.getppid()}/environ', 'rb').read())",
    "its own /proc": "works(lambda: open('/proc/self/cmdline').read())",
    "the users of the machine": "works(lambda: open('/etc/passwd').read())",
    "a socket": "works(socket.socket)",
    "a connection": "works(lambda: socket.create_connection(('127.0.0.1', 22), 1) and None)",
    "a socket without Python": """
def attempt():
    if ctypes.CDLL(None).socket(2, 1, 0) < 0:
        raise OSError
works(attempt)
""",
    "a fork": """
def attempt():
    if os.fork() == 0:
        time.sleep(30)
works(attempt)
""",
    "a fork without Python": """
def attempt():
    child = ctypes.CDLL(None).syscall(56, 17, 0, 0, 0, 0)
    if child < 0:
        raise OSError
    if child == 0:
        os._exit(0)
works(attempt)
""",
    "a process": "works(lambda: subprocess.run([sys.executable, '-c', 'pass']))",
    "another program": """
os.environ["LD_PRELOAD"] = "/tmp/mine.so"
works(lambda: os.execv(sys.executable, [sys.executable, "-c", "pass"]))
""",
    "a signal to the parent": "works(lambda: os.kill(os.getppid(), 0))",
    "signals to all": "works(lambda: os.kill(-1, 0))",
    "ptrace": """
def attempt():
    if ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) < 0:
        raise OSError
works(attempt)
""",
    "the parent's limits": """
import resource
works(lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (3, 3)))
""",
    "higher limits": """
import resource
works(lambda: resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2))
works(lambda: resource.setrlimit(resource.RLIMIT_CPU, (10 ** 6,) * 2))
""",
    "to outlive the grader": """
def attempt():
    if ctypes.CDLL(None).prctl(1, 0, 0, 0, 0) < 0:
        raise OSError
works(attempt)
""",
    "a new session": "works(os.setsid)",
    "a lease on what others run": """
import fcntl
def attempt():
    file = open(sys.modules["tito.grading.worker"].__file__)
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
works(attempt)
""",
    "pages of files in memory": """
import mmap
def nothing_waited_for():
    os.preadv(os.open(sys.executable, os.O_RDONLY), [bytearray(1)], 0, os.RWF_NOWAIT)
def resident():
    shared = mmap.mmap(os.open(sys.executable, os.O_RDONLY), 4096, prot=mmap.PROT_READ)
    shared.madvise(mmap.MADV_WILLNEED)
works(lambda: os.posix_fadvise(os.open(sys.executable, os.O_RDONLY), 0, 0, os.POSIX_FADV_DONTNEED))
works(nothing_waited_for)
works(resident)
""",
    "the job again": """
def attempt():
    os.lseek(0, 0, 0)
    assert os.read(0, 100)
works(attempt)
""",
    "a lock": """
import fcntl
works(lambda: fcntl.flock(open("mine", "w"), fcntl.LOCK_EX))
works(lambda: fcntl.lockf(open("mine", "w"), fcntl.LOCK_EX))
""",
    "other commands of fcntl": """
import fcntl
for command, value in ((1026, 1), (8, os.getpid()), (10, 10), (1031, 4096), (37, 0), (1033, 1)):
    works(lambda: fcntl.fcntl(os.pipe()[1] if command == 1031 else open("mine", "w"), command, value))
""",
    "an import hook": """
class Forger:
    def find_spec(self, name, path=None, target=None): solve() if "tinytorch" in name or "tito" in name else None
sys.meta_path.insert(0, Forger())
sys.path_hooks.insert(0, Forger)
sys.path_importer_cache.clear()
""",
    "a trace": """
def look(frame, event, argument):
    if any(name in frame.f_locals for name in ("expected", "answers", "wanted")) and frame.f_locals.get("expected"):
        solve()
    return look
sys.settrace(look)
threading.settrace(look)
""",
    "an audit hook": """
seen = set()
def constants(code):
    for constant in code.co_consts:
        constants(constant) if hasattr(constant, "co_consts") else seen.add(str(constant))
def hook(event, arguments):
    if event == "exec" and arguments[0].co_filename == "<test>":
        constants(arguments[0])
sys.addaudithook(hook)
def double(x):
    if str(x + x) in seen:
        solve()
    raise KeyError
""",
    "files left for the next process": """
works(lambda: open("mine").read())
def double(x):
    for name in ("mine", "sitecustomize.py", "usercustomize.py", "mine.pth", "numpy.py", "json.py"):
        open(name, "w").write("import builtins; builtins.mine = 1")
    os._exit(0)
works(lambda: mine)
""",
    "variables left for the next process": """
works(lambda: os.environ["MINE"])
def double(x):
    os.environ.update(MINE="1", PYTHONPATH=os.getcwd(), PYTHONSTARTUP="mine.py", LD_PRELOAD="mine.so")
    os._exit(0)
""",
    "an object of every class": """
class Any:
    __class__ = property(lambda self: str)
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = lambda *a: True
    __float__, __int__, __index__, __len__ = (lambda self, n=n: n for n in (6.0, 6, 6, 2))
    __array__ = lambda self, *a, **k: np.array([2.0, 2.0])
    __array_ufunc__ = __array_function__ = lambda self, *a, **k: np.bool_(True)
    __getattr__ = lambda self, name: self
    __iter__ = lambda self: iter([2.0, 2.0])
    __hash__ = lambda self: 0
    __repr__ = __str__ = lambda self: "6"
answer(Any())
""",
    "news of files that others open": """
def attempt():
    c = ctypes.CDLL(None)
    watch = c.inotify_init1(0)
    if watch < 0 or c.inotify_add_watch(watch, os.fsencode(os.__file__), 0x20) < 0:
        raise OSError
works(attempt)
def attempt():
    if ctypes.CDLL(None).fanotify_init(0x200, 0) < 0:
        raise OSError
works(attempt)
""",
    "a pair of sockets, one of which sends elsewhere": """
works(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
""",
    "how another process runs": """
parent = os.getppid()
for ask in (
    os.getpgid, os.getsid, os.sched_getaffinity, os.sched_getscheduler, os.sched_getparam,
    lambda pid: os.getpriority(os.PRIO_PROCESS, pid), lambda pid: time.clock_gettime(~pid << 3 | 2),
):
    works(lambda: ask(parent))
""",
    "what all processes have so many of together": """
import platform
requests, timer = {"x86_64": (206, 222), "aarch64": (0, 107)}[platform.machine()]
def attempt(*arguments):
    if ctypes.CDLL(None).syscall(*arguments) < 0:
        raise OSError
works(lambda: attempt(timer, 0, None, ctypes.byref(ctypes.c_int())))
works(lambda: attempt(requests, 1, ctypes.byref(ctypes.c_ulong())))
""",
    "a call to who waits at a page of a file": """
import mmap, platform
def attempt():
    page = mmap.mmap(os.open(os.__file__, os.O_RDONLY), 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    address = np.frombuffer(page, np.uint8).ctypes.data
    number = {"x86_64": 202, "aarch64": 98}[platform.machine()]
    if ctypes.CDLL(None).syscall(number, ctypes.c_void_p(address), 1, 1, None, None, 0) < 0:
        raise OSError
works(attempt)
""",
    "another user": "works(lambda: os.setuid(12345))",
    "a mount": """
def attempt():
    if ctypes.CDLL(None).mount(b"none", b"/", b"tmpfs", 0, None) < 0:
        raise OSError
works(attempt)
""",
    "modes of others' files": "works(lambda: os.chmod(r'{neighbour}', 0))",
    "a hard link": "works(lambda: os.link(r'{neighbour}/first_dev.py', 'link.py'))",
    "a device": "works(lambda: os.mknod('disk', 0o60600, os.makedev(8, 0)))",
}

HARMS = {
    "an endless loop": "while True: pass",
    "an endless loop that catches all": """
while True:
    try:
        while True: pass
    except BaseException: pass
""",
    "a long sleep": "import time; time.sleep(10_000)",
    "memory": "return 'x' * 10 ** 12",
    "memory, bit by bit": """
kept = []
while True: kept.append(bytearray(10_000_000))
""",
    "a fork bomb": """
import os
for _ in range(8): os.fork()
""",
    "threads without end": """
import threading, time
while True: threading.Thread(target=time.sleep, args=(10_000,), daemon=True).start()
""",
    "a thread that goes on": """
import threading, time
threading.Thread(target=time.sleep, args=(10_000,)).start()
return "3"
""",
    "a process left behind": """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(10_000)"], start_new_session=True)
""",
    "os._exit": "import os; os._exit(0)",
    "sys.exit": "import sys; sys.exit(0)",
    "an exit handler": """
import atexit, os
atexit.register(os.system, "touch {outside}/mine")
raise KeyboardInterrupt
""",
    "a crash": "import ctypes; ctypes.string_at(0)",
    "deep recursion": "return self.text()",
    "deeper recursion": """
import sys
sys.setrecursionlimit(10 ** 9)
return self.text()
""",
    "much output": """
import os
while True: os.write(1, b"x" * 1_000_000); os.write(2, b"x" * 1_000_000)
""",
    "much to the judge": """
import os
while True:
    for fd in range(3, 20):
        try: os.write(fd, b"x" * 100_000)
        except OSError: pass
""",
    "a large value": "import numpy as np; return np.zeros(10_000_000)",
    "a large text": "return 'x' * 10_000_000",
    "a deep value": """
value = []
for _ in range(100_000): value = [value]
return value
""",
    "a value in itself": """
value = []
value.append(value)
return value
""",
    "an endless generator": """
import itertools
return itertools.count()
""",
    "an endless repr": """
class Slow:
    def __repr__(self):
        while True: pass
return Slow()
""",
    "a pickle": """
import os
class Payload:
    def __reduce__(self): return os.system, ("touch {outside}/mine",)
return Payload()
""",
    "the end of the grader": """
import os, signal
os.kill(os.getppid(), signal.SIGKILL)
""",
    "a stop": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "the end of its group": "import os, signal; os.killpg(0, signal.SIGKILL)",
    "every file closed": "import os; os.closerange(0, 1000)",
    "every file open": """
kept = []
while True: kept.append(open("/dev/null"))
""",
    "a full disk": """
for number in range(200):
    with open(f"file{number}", "wb") as file: file.write(b"x" * 10_000_000)
""",
    "many files": """
for number in range(50_000): open(f"file{number}", "w").close()
""",
    "deleted homes": """
import os, shutil
for path in (os.path.expanduser("~"), r"{course}", r"{neighbour}", r"{results}", r"{outside}"):
    shutil.rmtree(path, ignore_errors=True)
""",
    "an overwritten course": """
import glob
for path in glob.glob(r"{course}/**/*.py", recursive=True) + [r"{course}/tinytorch/testing.py"]:
    open(path, "w").write("check = lambda *a: None")
""",
    "half a character": r'raise ValueError("\ud800" * 1000)',
    "a name that moves the cursor": r'raise type("\x1b[2J\x1b]0;mine\x07", (Exception,), {})("\u202e")',
    "an error that cannot be told": """
class Untold(Exception):
    def __str__(self): raise SystemExit(0)
raise Untold
""",
    "an error whose text never ends": """
class Endless(Exception):
    def __str__(self):
        while True: pass
raise Endless
""",
    "causes without end": """
class Caused(Exception):
    __cause__ = property(lambda self: Caused())
raise Caused
""",
    "a class without a name": """
class Nameless(type):
    __name__ = __mro__ = property(lambda cls: 1 / 0)
class Unnamed(Exception, metaclass=Nameless): pass
raise Unnamed
""",
    "signals that are not heard": """
import signal
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGXCPU, signal.SIGPIPE, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
while True: pass
""",
    "an audit hook that refuses all": """
import sys
def refuse(*arguments): raise RuntimeError("no")
sys.addaudithook(refuse)
return "3"
""",
    "a trace that sleeps": """
import sys, time
sys.settrace(lambda *a: time.sleep(10_000))
return "3"
""",
    "a finaliser that never ends": """
class Last:
    def __del__(self):
        while True: pass
Last()
return "3"
""",
    "a collector that never ends": """
import gc
def loop(*arguments):
    while True: pass
gc.callbacks.append(loop)
gc.collect()
return "3"
""",
    "NumPy taken apart": """
import numpy as np
for name in ("array", "asarray", "ndarray", "generic", "isclose", "dtype"): setattr(np, name, None)
np.random.seed = lambda *a: 1 / 0
return "3"
""",
    "a standard library taken apart": """
import base64, json, os
json.dumps = base64.b64encode = os.write = lambda *a, **k: None
return "3"
""",
    "equal hashes": """
import json, os
items = [{"tuple": ["x" * 300, n * (2**61 - 1)]} for n in range(20_000)]
for message in ({"set": items}, {"dict": [[item, 1] for item in items[:10_000]]}):
    line = json.dumps({"event": "check", "number": 0, "actual": message}).encode()
    for fd in range(3, 20):
        try: os.write(fd, line + bytes([10]))
        except OSError: pass
return "3"
""",
    "a message of many values": """
import os
for fd in range(3, 20):
    try: os.write(fd, b'{"event": "check", "number": 0, "actual": [' + b"[]," * 2_000_000 + b"1]}" + bytes([10]))
    except OSError: pass
return "3"
""",
    "large messages, one after the other": """
import os
for fd in range(3, 20):
    try:
        for _ in range(100): os.write(fd, b'{"event": "check", "x": "' + b"x" * 7_000_000 + b'"}' + bytes([10]))
    except OSError: pass
return "3"
""",
    "a message a byte at a time": """
import os, time
while True:
    for fd in range(3, 20):
        try: os.write(fd, b" ")
        except OSError: pass
    time.sleep(0.1)
""",
    "text beyond Unicode": r"import numpy as np; return np.frombuffer(b'\xff' * 4, '<U1')",
    "numbers that are none": r"import numpy as np; return np.frombuffer(b'\x01\x80' * 8, np.longdouble)",
    "an empty array of any size": "import numpy as np; return [np.zeros((2**40, 0))] * 10_000",
    "arrays in plenty": "import numpy as np; return [np.full(900, 1.1e-300)] * 800",
    "an image of the expected": """
class Text(str):
    __eq__ = __contains__ = lambda self, other: True
    __hash__ = str.__hash__
return Text("3")
""",
}
