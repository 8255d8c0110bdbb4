/** The console's style sheet: the system's fonts, two columns of charts where there is room, both colour schemes. */
export const STYLE = `:root {
  color-scheme: light dark;
  --back: #f6f7f9; --card: #ffffff; --text: #1b1f27; --quiet: #596273; --line: #d9dee7; --accent: #1d4ed8;
  --accent-text: #ffffff; --danger: #b42318; --notice: #e6f4ea; --problem: #fdecea;
  --c1: #2563eb; --c2: #0f8a6d; --c3: #b45309; --c4: #be185d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #12151b; --card: #1a1f28; --text: #e7eaf0; --quiet: #a3adbd; --line: #303847; --accent: #8ab4ff;
    --accent-text: #0c1524; --danger: #ff9d92; --notice: #15301f; --problem: #3a1d1a;
    --c1: #6ea2ff; --c2: #3fcfa8; --c3: #f2b14a; --c4: #f583b6;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
header, main { max-width: 68rem; margin: 0 auto; padding: 0 1.25rem; }
header { display: flex; justify-content: space-between; align-items: center; padding-block: 1rem; }
main { padding-bottom: 4rem; }
.brand { font-weight: 650; letter-spacing: -0.01em; color: var(--text); text-decoration: none; }
.brand span { color: var(--accent); }
h1 { font-size: 1.75rem; line-height: 1.2; letter-spacing: -0.02em; margin: 1.5rem 0 1rem; }
h2 { font-size: 1.125rem; margin: 2.25rem 0 0.75rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 0; }
p { margin: 0.5rem 0; }
a { color: var(--accent); text-underline-offset: 0.2em; }
code { font: 0.875em ui-monospace, SFMono-Regular, Menlo, monospace; overflow-wrap: anywhere; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 4px; }
.quiet { color: var(--quiet); font-size: 0.875rem; font-weight: 400; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.card, figure, .scroll, .tiles li { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.card { max-width: 40rem; margin: 2rem auto; padding: 0.5rem 1.75rem 1.75rem; }
.card.narrow { max-width: 26rem; margin-top: 12vh; }
.notice, .problem { padding: 0.75rem 1rem; border-radius: 8px; background: var(--notice); }
.problem { background: var(--problem); }
label { display: block; font-weight: 550; margin-top: 1rem; }
input { font: inherit; color: inherit; background: var(--back); border: 1px solid var(--quiet); border-radius: 7px;
  padding: 0.45rem 0.7rem; width: 100%; margin-top: 0.3rem; }
button { font: inherit; font-weight: 550; color: var(--accent-text); background: var(--accent); border: 1px solid transparent;
  border-radius: 7px; padding: 0.45rem 1.1rem; cursor: pointer; margin-top: 0.3rem; white-space: nowrap; }
button.danger { background: var(--danger); }
button.plain { background: none; color: var(--text); border-color: var(--quiet); margin: 0; }
.actions { margin-top: 1.25rem; display: flex; gap: 1rem; align-items: center; }
.filter { max-width: 40rem; }
.filter div { display: flex; gap: 0.6rem; align-items: center; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 0.75rem; padding: 0; margin: 0; list-style: none; }
.tiles li { padding: 0.75rem 1rem; color: var(--quiet); font-size: 0.875rem; }
.tiles strong { display: block; font-size: 1.75rem; line-height: 1.15; font-weight: 600; color: var(--text);
  font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: 0.75rem; margin-top: 0.75rem; }
figure { margin: 0; padding: 0.9rem 1rem; }
figcaption { font-weight: 550; }
svg { display: block; width: 100%; height: 8rem; margin: 0.6rem 0; }
.axis { stroke: var(--line); }
.legend { display: flex; flex-wrap: wrap; gap: 0.25rem 1.1rem; margin: 0; padding: 0; list-style: none; font-size: 0.875rem; }
.swatch { display: inline-block; width: 0.75rem; height: 0.75rem; border-radius: 3px; margin-right: 0.4rem; }
.c-sign-ins, .c-missing { fill: var(--c1); } .c-renewals, .c-expired { fill: var(--c2); }
.c-invalid { fill: var(--c4); } .c-revoked { fill: var(--c3); }
.swatch.c-sign-ins, .swatch.c-missing { background: var(--c1); } .swatch.c-renewals, .swatch.c-expired { background: var(--c2); }
.swatch.c-invalid { background: var(--c4); } .swatch.c-revoked { background: var(--c3); }
.scroll { overflow-x: auto; margin-top: 0.75rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.9375rem; }
th, td { text-align: left; padding: 0.5rem 1rem; border-top: 1px solid var(--line); white-space: nowrap; }
thead th { border-top: 0; color: var(--quiet); font-size: 0.8125rem; font-weight: 550; }
td { font-variant-numeric: tabular-nums; }
.consumer { background: color-mix(in srgb, var(--back) 60%, var(--card)); }
.consumer th { font-weight: 600; }
.tag { font-size: 0.75rem; border: 1px solid var(--quiet); border-radius: 99px; padding: 0 0.5rem; }
`;

/** Fetches the counters and charts again; stops where the login has ended. */
export const SCRIPT = `const live = document.getElementById('live');
async function refresh() {
  if (document.hidden) return;
  const answer = await fetch('/console/live', { headers: { Accept: 'text/html' } });
  if (answer.ok) live.innerHTML = await answer.text();
  else clearInterval(timer);
}
const timer = live ? setInterval(() => refresh().catch(() => {}), 5000) : undefined;
`;
