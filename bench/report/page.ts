/** The look of the page and the script that draws its plots in the browser. */
export const style = `
:root { --ink: #1d2733; --soft: #5b6875; --line: #dfe4ea; --good: #14733f; --bad: #b3261e; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: #fff; }
h1 { margin: 0 0 .3rem; font-size: 1.7rem; } h2 { margin: 2.2rem 0 .3rem; font-size: 1.25rem; }
p { margin: .3rem 0 .8rem; color: var(--soft); } code { background: #f3f5f8; padding: .1rem .35rem; border-radius: 4px; }
nav a { margin-right: .9rem; color: #1f5fa8; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem .25rem 0; text-align: left; white-space: nowrap; } th { color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--line); }
tr.opens td, #targets td { border-top: 1px solid var(--line); }
.met, .better { color: var(--good); } .missed, .worse { color: var(--bad); } td.met, td.missed { font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(30rem, 1fr)); gap: 1rem; } figure { margin: 0; min-width: 0; }
figcaption { font-weight: 600; font-size: 13px; } .plot { position: relative; height: 20rem; }
summary { cursor: pointer; color: var(--soft); font-size: 13px; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); gap: 1.5rem; border-top: 2px solid var(--line); margin-top: 2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem .8rem; margin: 0; font-size: 13px; } dt { color: var(--soft); } dd { margin: 0; }
`;

/** Runs in the browser: \`charts\` and Chart.js are there. */
export const drawCharts = `
const colours = ['#1f77b4', '#e08a1e', '#5a9e4b', '#8d5fb0', '#777777'];
const whiskers = {
  id: 'whiskers',
  afterDatasetsDraw(chart) {
    const { ctx, scales: { y } } = chart;
    chart.data.datasets.forEach((set, s) => {
      if (!chart.isDatasetVisible(s)) return;
      chart.getDatasetMeta(s).data.forEach((bar, i) => {
        const range = set.ranges[i];
        if (!range) return;
        ctx.strokeStyle = '#1d2733';
        ctx.beginPath();
        ctx.moveTo(bar.x, y.getPixelForValue(range[0]));
        ctx.lineTo(bar.x, y.getPixelForValue(range[1]));
        ctx.stroke();
      });
    });
  },
};
charts.forEach(({ labels, series, title, logarithmic }, n) => {
  new Chart(document.getElementById('chart-' + n), {
    type: 'bar',
    plugins: [whiskers],
    data: {
      labels,
      datasets: series.map(({ name, values, ranges }, i) => ({ label: name, data: values, ranges, backgroundColor: colours[i % colours.length] })),
    },
    options: {
      animation: false,
      maintainAspectRatio: false,
      scales: {
        x: { ticks: { autoSkip: false, maxRotation: 60, font: { size: 10 } }, grid: { display: false } },
        y: { type: logarithmic ? 'logarithmic' : 'linear', beginAtZero: true, title: { display: true, text: title + (logarithmic ? ' (logarithmic)' : '') } },
      },
      plugins: { legend: { position: 'top', align: 'end', labels: { boxWidth: 12 } } },
    },
  });
});
`;
