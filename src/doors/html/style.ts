/** The only style sheet, for the operator's page and for the page on which clients are allowed. */
export const STYLE = `
:root { color-scheme: light dark; --page: #fff; --ink: #1b1f24; --line: #c8ccd2; --quiet: #565d66; --strong: #0b57a4; --alarm: #a3160f; --good: #1b6b3a; --warn: #7a4b00; --shade: #f4f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14171b; --ink: #e8eaed; --line: #444b54; --quiet: #a9b1bb; --strong: #7db8f5; --alarm: #ff9d94; --good: #7fd69b; --warn: #f0c169; --shade: #1e2329; }
}
* { box-sizing: border-box; }
body { margin: 0; font: 1rem/1.5 system-ui, sans-serif; background: var(--page); color: var(--ink); }
main { max-width: 34rem; margin: 2rem auto; padding: 0 1.25rem 2rem; }
main.wide { max-width: 74rem; }
h1 { font-size: 1.4rem; line-height: 1.3; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; line-height: 1.3; margin: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1rem; margin: 0 0 1.25rem; padding: .8rem 1rem; background: var(--shade); border-radius: .5rem; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
fieldset { border: 1px solid var(--line); border-radius: .5rem; margin: 0 0 1rem; padding: .4rem 1rem .8rem; }
legend { font-weight: 600; padding: 0 .4rem; }
.choice { display: flex; gap: .6rem; align-items: baseline; padding: .25rem 0; }
.choice small, .hint { color: var(--quiet); font-size: .875rem; display: block; }
.domains { margin: .25rem 0 0 1.6rem; padding-left: .25rem; max-height: 15rem; overflow-y: auto; }
textarea, input[type=password], input[type=email], input[type=text] { margin-bottom: .25rem; width: 100%; font: inherit; padding: .5rem; border: 1px solid var(--quiet); border-radius: .35rem; }
label.field { font-weight: 600; display: block; margin-bottom: .25rem; }
.rows { list-style: none; margin: 0 0 1rem; padding: 0; }
.rows li { display: flex; flex-wrap: wrap; gap: .3rem 1rem; align-items: center; justify-content: space-between; padding: .5rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
.secret { font-size: 1.1rem; }
.actions { display: flex; flex-wrap: wrap; gap: .75rem; align-items: center; margin-top: 1.25rem; }
button, .button { font: inherit; font-weight: 600; padding: .55rem 1.4rem; border-radius: .35rem; border: 1px solid var(--strong); background: transparent; color: var(--strong); cursor: pointer; text-decoration: none; }
button[value=allow], button[value=sign-in], button.main, .button.main { background: #0b57a4; color: #fff; }
:focus-visible { outline: 3px solid var(--strong); outline-offset: 2px; }
code { overflow-wrap: anywhere; }
.alarm, .notice { border-left: .3rem solid var(--alarm); padding: .5rem .8rem; margin: 0 0 1rem; background: var(--shade); }
.notice { border-color: var(--good); }
a { color: var(--strong); }
.skip { position: absolute; left: -999rem; }
.skip:focus { left: .5rem; top: .5rem; background: var(--page); padding: .5rem; }
.bar { border-bottom: 1px solid var(--line); }
.bar > div { max-width: 74rem; margin: 0 auto; padding: .6rem 1.25rem; display: flex; flex-wrap: wrap; gap: .3rem 1.5rem; align-items: center; }
.bar nav { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; flex: 1; }
.bar nav a { color: var(--quiet); text-decoration: none; padding: .25rem 0; border-bottom: 2px solid transparent; }
.bar nav a:hover, .bar nav a[aria-current] { color: var(--ink); border-color: var(--strong); }
.brand { color: var(--ink); font-weight: 700; text-decoration: none; }
.small { padding: .25rem .8rem; font-size: .875rem; }
section { margin: 2rem 0 0; }
.heading { display: flex; flex-wrap: wrap; gap: .25rem 1rem; align-items: baseline; justify-content: space-between; margin-bottom: .5rem; }
.quiet, td small { color: var(--quiet); }
td small { display: block; font-size: .875rem; }
.figures { margin-top: 1.25rem; display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 0; padding: .9rem 0; }
.figures div { padding: 0 1.1rem; display: flex; flex-direction: column-reverse; }
.figures dd { font-size: 1.5rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.waiting { border: 1px solid var(--warn); border-radius: .5rem; padding: .9rem 1.1rem; }
.waiting p { margin: .25rem 0 0; }
.waiting ul + p { margin-top: 1rem; }
.waiting ul { list-style: none; margin: .5rem 0 0; padding: 0; }
.waiting li { overflow-wrap: anywhere; display: flex; flex-wrap: wrap; gap: .3rem 1rem; align-items: center; justify-content: space-between; padding: .5rem 0 0; }
table { width: 100%; border-collapse: collapse; }
th { text-align: left; font-weight: 500; color: var(--quiet); font-size: .875rem; }
th, td { padding: .5rem 1.1rem .5rem 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
td:last-child, th:last-child { padding-right: 0; }
td strong { display: inline-block; min-width: 9rem; }
.advice { display: inline-block; max-width: 38rem; font-size: .9375rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.time { white-space: nowrap; }
.state { white-space: nowrap; font-weight: 600; color: var(--quiet); }
.state::before { content: ""; display: inline-block; width: .55rem; height: .55rem; border-radius: 50%; margin-right: .45rem; background: currentColor; }
.state.good { color: var(--good); } .state.warn { color: var(--warn); } .state.bad { color: var(--alarm); }
@media (max-width: 46rem) {
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody, tr, td { display: block; }
  tr { border: 1px solid var(--line); border-radius: .5rem; padding: .4rem .9rem; margin-bottom: .6rem; }
  td, td:last-child { display: grid; grid-template-columns: 5.5rem minmax(0, 1fr); gap: 0 .75rem; border: 0; padding: .2rem 0; }
  td.number, td.time { text-align: left; white-space: normal; }
  td::before { content: attr(data-label); color: var(--quiet); font-size: .875rem; line-height: 1.7; grid-row: span 2; }
  .bar nav { order: 1; flex-basis: 100%; }
  .bar > div { justify-content: space-between; }
  td > * { grid-column: 2; justify-self: start; }
}
`;
