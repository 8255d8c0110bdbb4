import type { Counted, Counts } from './history.ts';
import { html } from './html.ts';
import type { Html } from './html.ts';

const WIDTH = 600;
const HEIGHT = 120;
const GAP = 2;

/**
 * Stacked bars, one for each minute. Colours are classes (`c-…`), since the page allows no styles of its own; who does
 * not see the picture has its name and the totals in the legend.
 */
export function chart(title: string, series: readonly Counted[], minutes: readonly Counts[]): Html {
  const sum = (counts: Counts) => series.reduce((total, name) => total + counts[name], 0);
  const most = Math.max(1, ...minutes.map(sum));
  const width = WIDTH / minutes.length;
  const bars = minutes.flatMap((counts, index) => {
    let top = HEIGHT;
    return series.flatMap((name) => {
      const height = (counts[name] / most) * HEIGHT;
      top -= height;
      if (height === 0) return [];
      return html`<rect
        class="c-${name}"
        x="${(index * width).toFixed(1)}"
        y="${top.toFixed(1)}"
        width="${(width - GAP).toFixed(1)}"
        height="${height.toFixed(1)}"
      />`;
    });
  });
  const total = (name: Counted) => minutes.reduce((all, counts) => all + counts[name], 0);
  return html`<figure>
    <figcaption>${title} <span class="quiet">per minute, at most ${most}</span></figcaption>
    <svg
      viewBox="0 0 ${WIDTH} ${HEIGHT}"
      preserveAspectRatio="none"
      role="img"
      aria-label="${title}, bars for each minute; totals follow"
    >
      <line class="axis" x1="0" x2="${WIDTH}" y1="${HEIGHT - 0.5}" y2="${HEIGHT - 0.5}" />
      ${bars}
    </svg>
    <ul class="legend">
      ${series.map((name) => html`<li><span class="swatch c-${name}"></span>${name} <strong>${total(name)}</strong></li>`)}
    </ul>
  </figure>`;
}
