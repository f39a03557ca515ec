// Python, in a thread of its own: the page asks, this answers. What runs for ever is ended together with it.

const FOLDER = new URL("../pyodide/", import.meta.url);
let python;
let session;
let stopped = false;

async function bytes(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url.pathname} is not there (${answer.status})`);
  return new Uint8Array(await answer.arrayBuffer());
}

const plain = (proxy) => {
  const made = proxy.toJs({ dict_converter: Object.fromEntries });
  proxy.destroy();
  return made;
};

const calls = {
  async start({ wheel, recipe }, tell) {
    tell("loading Python ...");
    const { loadPyodide } = await import(new URL("pyodide.mjs", FOLDER));
    python = await loadPyodide({ indexURL: FOLDER.href });
    tell("loading NumPy ...");
    await python.loadPackage("numpy", { messageCallback: () => {} });
    tell("loading tinytorch ...");
    python.unpackArchive(await bytes(new URL(wheel, FOLDER)), "wheel");
    python.FS.mkdirTree("/course/tito");
    python.FS.writeFile("/course/tito/digits.py", await bytes(new URL(recipe, FOLDER)));
    python.FS.writeFile("/course/session.py", await bytes(new URL("session.py", import.meta.url)));
    python.runPython("import sys, importlib; sys.path.insert(0, '/course'); importlib.invalidate_caches()");
    session = python.pyimport("session");
  },

  inputs: ({ source }) => plain(session.inputs(source)),

  evaluate: ({ source, values }) => plain(session.evaluate(source, python.toPy(values))),

  // Between two epochs other messages have their turn, the one that stops the training among them.
  async train({ seed }, tell) {
    stopped = false;
    const run = session.begin(seed);
    const facts = plain(run.facts);
    const begun = performance.now();
    for (let i = 0; i < facts.epochs && !stopped; i++) {
      tell({ facts, numbers: plain(session.epoch(run)) });
      await new Promise((resolve) => setTimeout(resolve));
    }
    const answers = plain(session.answers(run));
    run.destroy();
    return { ...answers, facts, stopped, seconds: (performance.now() - begun) / 1000 };
  },

  stop() {
    stopped = true;
  },
};

onmessage = async ({ data: { id, name, given } }) => {
  try {
    postMessage({ id, result: await calls[name](given, (told) => postMessage({ id, told })) });
  } catch (error) {
    postMessage({ id, failure: String(error.message ?? error).trim().slice(-400) });
  }
};
