// What the page does beyond standing there: the claims table filters and sorts, and the token view says a token's numbers.
// Without this script everything is readable.
(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);

  function claims() {
    const table = one("#claims table.all");
    if (!table) return;
    const bodies = all("tbody", table);
    const rows = bodies.map((body) => one("tr[data-verdict]", body));
    const words = bodies.map((body) => body.textContent.toLowerCase());
    const fields = { verdict: one("#filter-verdict"), analogue: one("#filter-analogue"), section: one("#filter-section") };
    const text = one("#filter-text");
    const shown = one("#claims-shown");

    const filter = () => {
      const wanted = text.value.trim().toLowerCase();
      let count = 0;
      rows.forEach((row, index) => {
        const fits =
          Object.entries(fields).every(([name, field]) => !field.value || row.dataset[name] === field.value) &&
          words[index].includes(wanted);
        for (const part of [bodies[index], ...bodies[index].rows]) part.hidden = !fits;
        count += fits;
      });
      shown.textContent = `${count} of ${rows.length} claims shown`;
    };
    // The filters stand in the address, as `#claims?analogue=agrees`, so that what is shown can be linked to.
    const inputs = { ...fields, text };
    const keep = () => {
      filter();
      const set = Object.entries(inputs).filter(([, field]) => field.value);
      const query = new URLSearchParams(set.map(([name, field]) => [name, field.value]));
      history.replaceState(null, "", set.length ? `#claims?${query}` : "#claims");
    };
    for (const field of Object.values(inputs)) field.addEventListener("input", keep);
    one("#claims .controls").hidden = false;

    const order = new Intl.Collator("en", { numeric: true });
    const heads = all("thead th", table);
    const sort = (head) => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (body) => one("tr[data-verdict]", body).cells[head.cellIndex].dataset.value;
      const sorted = bodies
        .map((body) => [value(body), body])
        .sort(([a], [b]) => (a === "") - (b === "") || (down ? -1 : 1) * order.compare(a, b));
      table.append(...sorted.map(([, body]) => body));
    };
    for (const head of all("thead th[data-sort]", table)) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(head));
      head.append(button);
    }

    const open = () => {
      const [place, query] = location.hash.slice(1).split("?");
      const target = all("[id]").find((each) => encodeURIComponent(each.id) === place || each.id === place);
      if (query !== undefined || target?.hidden) {
        const wanted = new URLSearchParams(query);
        for (const [name, field] of Object.entries(inputs)) field.value = wanted.get(name) ?? "";
        filter();
      }
      const fold = target?.closest("details");
      if (fold) fold.open = true;
      if (fold || query !== undefined || target?.matches("tr")) target?.scrollIntoView();
    };
    addEventListener("hashchange", open);
    open();
  }

  function tokens() {
    const view = one("#token-view");
    const output = one("#token-value");
    if (!view) return;
    output.hidden = false;
    let here;
    const say = (token) => {
      here?.classList.remove("here");
      here = token;
      token.classList.add("here");
      output.textContent = `“${token.textContent}”, ${token.dataset.says}`;
    };
    for (const token of all("[data-token]", view)) {
      token.dataset.says = token.title;
      token.removeAttribute("title"); // the line above the text says it, at once and for the keyboard, too
    }
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    for (const text of all("[data-context]", view)) {
      const list = all("[data-token]", text);
      text.tabIndex = 0;
      text.setAttribute("role", "group");
      text.setAttribute("aria-label", "Tokens; move with the arrow keys");
      text.addEventListener("pointermove", (event) => event.target.matches("[data-token]") && say(event.target));
      text.addEventListener("pointerdown", (event) => event.target.matches("[data-token]") && say(event.target));
      text.addEventListener("focus", () => list.includes(here) || say(list[0]));
      text.addEventListener("keydown", (event) => {
        if (!(event.key in steps)) return;
        event.preventDefault();
        const next = list[list.indexOf(here) + steps[event.key]];
        if (next) {
          say(next);
          next.scrollIntoView({ block: "nearest" });
        }
      });
    }
  }

  claims();
  tokens();
})();
