// Draws what DVC wrote into the page: the scripts in there never run, their specifications are read as data.
// Bundled with vegaEmbed by `python -m darkmatter.report.plots_page`.
const views = document.getElementById("views");
const options = { ast: true, actions: false, renderer: "svg" };

function specification(script) {
  const text = script.textContent;
  const start = text.indexOf("var spec = ");
  const end = text.lastIndexOf("vegaEmbed(");
  const json = text.slice(start + "var spec = ".length, end).trim().replace(/;$/, "");
  try {
    return start < 0 || end < 0 ? null : JSON.parse(json);
  } catch {
    return null;
  }
}

function figure(caption) {
  const element = document.createElement("figure");
  const line = document.createElement("figcaption");
  line.textContent = caption;
  element.append(line);
  views.append(element);
  return element;
}

function drawVega(id, script) {
  const spec = specification(script);
  if (spec === null) {
    figure(`${id}: not a specification that can be read`);
  } else if (spec.data) {
    const place = document.createElement("div");
    figure("").append(place);
    vegaEmbed(place, spec, options).catch((error) => {
      place.textContent = `${id}: ${error.message}`;
    });
  }
}

function drawImages(element) {
  const name = element.querySelector("p");
  for (const image of element.querySelectorAll("img")) {
    const shown = document.createElement("img");
    shown.src = image.getAttribute("src");
    shown.alt = name ? name.textContent : "";
    figure(`${shown.alt} (${image.previousElementSibling?.textContent ?? ""})`).append(shown);
  }
}

views.replaceChildren();
let left = 0;
for (const element of document.getElementById("dvc").content.children) {
  const script = element.querySelector("script");
  // A view has a title for an id. A path is a file that DVC counts as a plot without knowing how to draw it.
  if (script && element.id.startsWith("reports_")) left += 1;
  else if (script) drawVega(element.id, script);
  else drawImages(element);
}
if (left) figure(`${left} result files that are no views are left out.`);
