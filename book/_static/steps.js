// Under a drawing that tells in which order backward visited its boxes: buttons that go through the visits one by one.
// The arrow keys do the same while one of them has the focus.

export function addSteps(drawing) {
  const boxes = [...drawing.querySelectorAll("[data-visit]")];
  const last = Math.max(...boxes.map((box) => Number(box.dataset.visit)));
  const bar = document.createElement("div");
  bar.className = "steps";
  const button = (text, action) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", action);
    bar.append(made);
  };
  const told = document.createElement("span");
  told.setAttribute("aria-live", "polite");
  let step = last;
  const show = (wanted) => {
    step = Math.min(Math.max(wanted, 0), last);
    for (const box of boxes) {
      const visit = Number(box.dataset.visit);
      box.classList.toggle("later", visit > step);
      box.classList.toggle("now", visit === step);
    }
    const words = boxes.filter((box) => Number(box.dataset.visit) === step).map((box) => box.dataset.words);
    told.textContent = step ? `Visit ${step} of ${last}: ${words.join("; ")}` : "Before backward";
  };
  bar.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move) show(step + move);
  });
  button("From the start", () => show(0));
  button("Back", () => show(step - 1));
  button("Next visit", () => show(step + 1));
  bar.append(told);
  drawing.after(bar);
  return bar;
}

document.querySelectorAll(".drawing").forEach((drawing) => {
  if (drawing.querySelector("[data-visit]")) addSteps(drawing);
});
