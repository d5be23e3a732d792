// Replaces each static chart by one with tooltips. A chart that cannot be drawn stays as it is.
const charts = JSON.parse(document.getElementById("charts").textContent);
const options = { actions: false, renderer: "svg", ast: true, tooltip: { theme: "custom" } };
for (const [id, chart] of Object.entries(charts)) {
  const figure = document.getElementById(id);
  vegaEmbed(figure.querySelector(".live"), chart, options)
    .then(() => figure.classList.add("is-live"))
    .catch((error) => console.error(id, error));
}
