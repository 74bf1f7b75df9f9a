'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const byId = (id) => document.getElementById(id);
  const COLOURS = 10;
  const colour = (arm) => `var(--c${arm % COLOURS})`;

  // Text from a run is only ever set as text, never as markup.
  const element = (name, properties, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const drawn = (name, attributes, parent, text) => {
    const made = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };
  const shortNumber = (value) => {
    if (value === 0) return '0';
    const size = Math.abs(value);
    if (size >= 1e5 || size < 1e-3) return value.toExponential(2).replace(/\.?0+e/, 'e');
    return String(Number(value.toPrecision(size >= 1e3 ? 5 : 4)));
  };

  // ---- Curves ----
  const metrics = new Map(data.metrics.map((metric) => [metric.name, metric]));
  const state = { hidden: new Set(), axis: 'step', smooth: 0, seeds: false };
  const charts = [];
  const HEIGHT = 220;
  const MARGIN = { left: 48, right: 10, top: 8, bottom: 26 };

  // Round numbers between two; `whole`: whole ones, as steps are.
  const ticks = (low, high, wanted, whole) => {
    const raw = (high - low) / wanted;
    const power = 10 ** Math.floor(Math.log10(raw));
    const round = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= raw * 0.999);
    const step = whole ? Math.max(1, Math.round(round)) : round;
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) found.push(i * step);
    return found;
  };
  const smoothed = (values) => {
    if (state.smooth === 0) return values;
    return values.map((_, i) => {
      const near = values.slice(Math.max(0, i - state.smooth), i + state.smooth + 1).filter((value) => value !== null);
      return near.length ? near.reduce((a, b) => a + b, 0) / near.length : null;
    });
  };
  // Seconds of training at a step, between the timed steps on a straight line.
  const minutes = (arm, step) => {
    const elapsed = metrics.get(data.elapsed)?.curves.find((curve) => curve.arm === arm);
    if (!elapsed) return null;
    const { steps, mean } = elapsed;
    const above = steps.findIndex((other) => other >= step);
    if (above < 0) return mean[mean.length - 1] / 60;
    const [before, start] = above === 0 ? [0, 0] : [steps[above - 1], mean[above - 1]];
    const part = steps[above] === before ? 1 : (step - before) / (steps[above] - before);
    return (start + part * (mean[above] - start)) / 60;
  };
  const places = (arm, steps) => (state.axis === 'step' ? steps : steps.map((step) => minutes(arm, step)));

  // What a chart draws: lines with their bands, for the arms that are shown.
  const linesOf = (chart) => {
    const lines = [];
    for (const { name, dash, key } of chart.sources) {
      for (const curve of metrics.get(name)?.curves ?? []) {
        if (state.hidden.has(curve.arm)) continue;
        const x = places(curve.arm, curve.steps);
        if (x.includes(null)) continue;
        const y = smoothed(curve.mean);
        const deviation = curve.deviation ? smoothed(curve.deviation) : null;
        lines.push({ arm: curve.arm, dash, key, x, y, deviation, thin: false });
        if (state.seeds) {
          for (const run of curve.runs ?? []) {
            lines.push({ arm: curve.arm, dash, key, x: places(curve.arm, run.steps), y: smoothed(run.values), deviation: null, thin: true });
          }
        }
      }
    }
    return lines;
  };
  // Metrics that lie between 0 and 1 by what they are: on such an axis a small change looks small.
  const isFraction = (name) => /(fraction|accuracies|accuracy)$|pass@|maj@|^groups\/(all|equal)_|^reward\/(correctness|format)$|answer_position(_own)?$/.test(name);
  // Least and largest value that lines reach with their bands.
  const reach = (lines) => {
    let [low, high] = [Infinity, -Infinity];
    for (const { y, deviation } of lines) {
      y.forEach((value, i) => {
        const around = deviation?.[i] ?? 0;
        low = Math.min(low, value - around);
        high = Math.max(high, value + around);
      });
    }
    return [low, high];
  };
  // A constant metric, smoothed, differs in its last bit: ticks that near each other would not get on.
  const withRoom = ([low, high]) => {
    const flat = high - low <= 1e-9 * Math.max(Math.abs(low), Math.abs(high));
    const room = flat ? Math.abs(high) * 0.1 || 1 : (high - low) * 0.06;
    return [low - room, high + room];
  };
  // The one line of a chart of several that flattens the others: beside it they would have less than a fifth of the height.
  const flattens = (chart, lines) => {
    const keys = [...new Set(lines.map(({ key }) => key))];
    if (keys.length < 2) return null;
    const [low, high] = reach(lines);
    const shares = keys.map((key) => {
      const [from, to] = reach(lines.filter((line) => line.key !== key));
      return { key, share: (to - from) / (high - low || 1) };
    });
    const least = shares.reduce((a, b) => (b.share < a.share ? b : a));
    return least.share < 0.2 ? least.key : null;
  };
  const path = (points) => points.map(([x, y], i) => `${i ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`).join('');

  const draw = (chart) => {
    const lines = linesOf(chart);
    const { svg } = chart;
    svg.replaceChildren();
    chart.lines = lines;
    const width = Math.max(svg.clientWidth, 200);
    svg.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
    if (lines.length === 0) {
      drawn('text', { x: width / 2, y: HEIGHT / 2, 'text-anchor': 'middle' }, svg, 'nothing to show');
      return;
    }
    const xs = lines.flatMap((line) => line.x);
    const least = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
    const most = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
    let [left, right] = [least(xs), most(xs)];
    if (left === right) [left, right] = [left - 1, right + 1];
    const fractions = chart.sources.every(({ name }) => isFraction(name));
    const beside = fractions ? null : flattens(chart, lines);
    const range = (some) => (fractions ? [-0.03, 1.03] : withRoom(reach(some)));
    const [low, high] = range(lines.filter(({ key }) => beside === null || key !== beside));
    const marginRight = MARGIN.right + (beside === null ? 0 : MARGIN.left - 8);
    const inner = HEIGHT - MARGIN.top - MARGIN.bottom;
    const px = (x) => MARGIN.left + ((x - left) / (right - left)) * (width - MARGIN.left - marginRight);
    const scaled = ([from, to]) => (y) => HEIGHT - MARGIN.bottom - ((y - from) / (to - from)) * inner;
    const py = scaled([low, high]);
    let pyBeside = py;
    if (beside !== null) {
      const own = withRoom(reach(lines.filter(({ key }) => key === beside)));
      pyBeside = scaled(own);
      for (const tick of ticks(...own, 4)) {
        drawn('text', { class: 'beside', x: width - marginRight + 5, y: pyBeside(tick) + 4 }, svg, shortNumber(tick));
      }
    }
    const heightOf = (line) => (beside !== null && line.key === beside ? pyBeside : py);
    const bounded = (value) => (fractions ? Math.min(1, Math.max(0, value)) : value);
    for (const { element: sample, key } of chart.keys) sample.textContent = key === beside ? `${key} (scale on the right)` : key;
    chart.scale = { px, left, right, width, marginRight };
    for (const tick of ticks(low, high, 5)) {
      const y = py(tick);
      drawn('line', { class: tick === 0 ? 'zero' : 'grid', x1: MARGIN.left, x2: width - marginRight, y1: y, y2: y }, svg);
      drawn('text', { x: MARGIN.left - 5, y: y + 4, 'text-anchor': 'end' }, svg, shortNumber(tick));
    }
    for (const tick of ticks(left, right, Math.min(6, width / 70), state.axis === 'step')) {
      drawn('text', { x: px(tick), y: HEIGHT - 8, 'text-anchor': 'middle' }, svg, shortNumber(tick));
    }
    for (const line of lines) {
      const { x, y, deviation, arm } = line;
      if (!deviation) continue;
      const known = x.map((_, i) => i).filter((i) => deviation[i] !== null);
      const edge = (sign) => known.map((i) => [px(x[i]), heightOf(line)(bounded(y[i] + sign * deviation[i]))]);
      drawn('path', { d: `${path([...edge(1), ...edge(-1).reverse()])}Z`, fill: colour(arm), opacity: 0.18 }, svg);
    }
    for (const line of lines) {
      const { x, y, arm, dash, thin } = line;
      const height = heightOf(line);
      if (x.length === 1) {
        drawn('circle', { cx: px(x[0]), cy: height(y[0]), r: 3, fill: colour(arm) }, svg);
        continue;
      }
      drawn('path', {
        d: path(x.map((at, i) => [px(at), height(y[i])])), fill: 'none', stroke: colour(arm), 'stroke-width': thin ? 0.8 : 1.8,
        'stroke-linejoin': 'round', 'stroke-dasharray': dash, opacity: thin ? 0.6 : 1,
      }, svg);
    }
    chart.cross = drawn('line', { class: 'cross', y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, visibility: 'hidden' }, svg);
  };

  const point = (chart, event) => {
    if (!chart.scale || chart.lines.length === 0) return;
    const { px, left, right, width, marginRight } = chart.scale;
    const box = chart.svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * width;
    const x = Math.min(right, Math.max(left, left + ((at - MARGIN.left) / (width - MARGIN.left - marginRight)) * (right - left)));
    const whole = chart.lines.filter((line) => !line.thin);
    const rows = whole.map((line) => {
      let nearest = 0;
      line.x.forEach((other, i) => { if (Math.abs(other - x) < Math.abs(line.x[nearest] - x)) nearest = i; });
      return { line, nearest };
    });
    const at0 = rows.reduce((a, b) => (Math.abs(b.line.x[b.nearest] - x) < Math.abs(a.line.x[a.nearest] - x) ? b : a));
    const shown = at0.line.x[at0.nearest];
    chart.cross.setAttribute('x1', px(shown));
    chart.cross.setAttribute('x2', px(shown));
    chart.cross.setAttribute('visibility', 'visible');
    const tip = chart.tip;
    tip.replaceChildren(element('b', {}, `${state.axis === 'step' ? 'step' : 'minute'} ${shortNumber(Number(shown.toFixed(1)))}`));
    for (const { line, nearest } of rows) {
      const deviation = line.deviation?.[nearest];
      const value = shortNumber(line.y[nearest]) + (deviation === null || deviation === undefined ? '' : ` ± ${shortNumber(deviation)}`);
      const label = [data.arms[line.arm].label, line.key].filter(Boolean).join(', ');
      tip.append(element('div', {}, element('span', { className: `chip c${line.arm % COLOURS}` }), `${label}: ${value}`));
    }
    tip.hidden = false;
    const onLeft = at < width / 2;
    tip.style.left = onLeft ? 'auto' : '3.25rem';
    tip.style.right = onLeft ? '.75rem' : 'auto';
  };
  const leave = (chart) => {
    chart.tip.hidden = true;
    chart.cross?.setAttribute('visibility', 'hidden');
  };

  const addChart = (parent, title, sources, removable) => {
    const present = sources.filter(({ name }) => metrics.get(name)?.curves.length);
    if (present.length === 0) return null;
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    svg.setAttribute('role', 'img');
    svg.setAttribute('aria-label', `${title} against ${state.axis}`);
    const tip = element('div', { className: 'tip', hidden: true });
    const caption = element('figcaption', {}, element('span', {}, title));
    const card = element('figure', { className: 'chart' }, caption, svg, tip);
    const chart = { sources: present, svg, tip, lines: [], keys: [] };
    if (present.length > 1) {
      const keys = element('div', { className: 'keys' });
      for (const { key, dash } of present) {
        const sample = element('span', {});
        const line = drawn('svg', { viewBox: '0 0 28 8' }, sample);
        drawn('line', { x1: 0, x2: 28, y1: 4, y2: 4, stroke: 'currentColor', 'stroke-width': 2, 'stroke-dasharray': dash }, line);
        const name = element('span', {}, key);
        sample.append(name);
        chart.keys.push({ element: name, key });
        keys.append(sample);
      }
      card.append(keys);
    }
    if (removable) {
      const remove = element('button', { type: 'button', title: 'remove', ariaLabel: `remove ${title}` }, '×');
      remove.addEventListener('click', () => { charts.splice(charts.indexOf(chart), 1); card.remove(); });
      caption.append(remove);
    }
    svg.addEventListener('pointermove', (event) => point(chart, event));
    svg.addEventListener('pointerdown', (event) => point(chart, event));
    svg.addEventListener('pointerleave', () => leave(chart));
    parent.append(card);
    charts.push(chart);
    draw(chart);
    return card;
  };
  const redraw = () => charts.forEach((chart) => { leave(chart); draw(chart); });

  const evaluations = data.metrics.map(({ name }) => name).filter((name) => /^eval/.test(name) && !/level/.test(name));
  const usual = ['reward/mean', 'reward/correctness', 'groups/all_wrong', 'rewards/accuracies', 'rewards/margins', 'loss', 'entropy', 'kl',
    'completions/mean_length', 'completions/truncated_fraction', 'grad_norm', 'tokens_per_s/train'];
  const main = byId('main-charts');
  for (const name of [...evaluations, ...usual]) addChart(main, name, [{ name, dash: '', key: '' }], true);
  if (!main.firstChild) main.append(element('p', { className: 'note' }, 'No metrics to show.'));
  const others = byId('metric');
  others.append(element('option', { value: '' }, 'choose'), ...data.metrics.map(({ name }) => element('option', { value: name }, name)));
  others.addEventListener('change', () => {
    if (!others.value) return;
    addChart(main, others.value, [{ name: others.value, dash: '', key: '' }], true)?.scrollIntoView({ block: 'nearest' });
    others.value = '';
  });

  const properties = byId('property-charts');
  addChart(properties, 'NLL per token (nats)', [
    { name: 'exp/nll_explanation', dash: '', key: 'self-explanation' },
    { name: 'exp/nll_own', dash: '1 3', key: 'own completion' },
    { name: 'exp/nll_expert', dash: '7 4', key: 'expert chain of thought' },
  ], false);
  addChart(properties, 'NLL of pairs per token (nats)', [
    { name: 'nll/chosen', dash: '', key: 'chosen' },
    { name: 'nll/rejected', dash: '1 3', key: 'rejected' },
  ], false);
  for (const [name, title] of [['exp/answer_gain', 'Answer gain (nats)'], ['exp/kept_fraction', 'Explanations kept'],
    ['exp/answer_match_fraction', 'Explanations that reach the answer'], ['exp/steps_right_fraction', 'Explanations with every step right']]) {
    addChart(properties, title, [{ name, dash: '', key: '' }], false);
  }
  addChart(properties, 'Information from the hint (nats)', [
    { name: 'exp/hint_information', dash: '', key: 'whole explanation' },
    { name: 'exp/max_token_information', dash: '1 3', key: 'largest token' },
  ], false);
  addChart(properties, 'Where the answer first stands', [
    { name: 'exp/answer_position', dash: '', key: 'self-explanation' },
    { name: 'exp/answer_position_own', dash: '1 3', key: 'own completion' },
  ], false);
  if (!properties.firstChild) properties.append(element('p', { className: 'note' }, 'None of these runs measured them.'));

  const legend = document.querySelector('.legend');
  data.arms.forEach(({ label }, arm) => {
    const button = element('button', { type: 'button', ariaPressed: 'true' }, element('span', { className: `chip c${arm % COLOURS}` }), label);
    button.addEventListener('click', () => {
      if (!state.hidden.delete(arm)) state.hidden.add(arm);
      button.ariaPressed = String(!state.hidden.has(arm));
      redraw();
    });
    legend.append(button);
  });
  document.querySelector('.axis').addEventListener('change', (event) => { state.axis = event.target.value; redraw(); });
  document.querySelector('.smooth').addEventListener('input', (event) => { state.smooth = Number(event.target.value); redraw(); });
  document.querySelector('.seeds').addEventListener('change', (event) => { state.seeds = event.target.checked; redraw(); });
  let waiting = 0;
  window.addEventListener('resize', () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(redraw); });

  // ---- Completions ----
  const groups = new Map();
  for (const row of data.completions.rows) {
    const key = JSON.stringify([row.run, row.step, row.problem]);
    if (!groups.has(key)) groups.set(key, { run: row.run, step: row.step, level: row.level, subject: row.subject, problem: row.problem, question: row.question, answer: row.answer, rollouts: [], explanations: [] });
    groups.get(key)[row.kind === 'explanation' ? 'explanations' : 'rollouts'].push(row);
  }
  // One question's groups of several runs beside each other.
  const compare = (a, b) => (a < b ? -1 : Number(a > b));
  const all = [...groups.values()].sort((a, b) => a.step - b.step || compare(a.problem, b.problem) || a.run - b.run);
  const explains = new Set(data.completions.rows.filter(({ kind }) => kind === 'explanation').map(({ run }) => run));
  const armOf = new Map(data.arms.flatMap(({ runs }, arm) => runs.map((run) => [run, arm])));
  const filters = byId('filters');
  const PAGE = 10;
  let limit = PAGE;
  const tests = [];
  const choice = (title, options, test) => {
    const select = element('select', {}, ...options.map(([value, text]) => element('option', { value }, text)));
    select.addEventListener('change', () => { limit = PAGE; list(); });
    filters.append(element('label', {}, title, select));
    tests.push((group) => select.value === '' || test(group, select.value));
    return select;
  };
  const distinct = (values) => [...new Set(values)].sort((a, b) => a - b);
  const rewards = ({ rollouts }) => rollouts.map((row) => row.reward).filter((reward) => typeof reward === 'number');

  if (data.runs.length > 1) {
    choice('run', [['', 'all'], ...data.runs.map((name, run) => [run, name])], (group, value) => group.run === Number(value));
  }
  const steps = distinct(all.map(({ step }) => step));
  choice('step', [['', 'all'], ...steps.map((step) => [step, step])], (group, value) => group.step === Number(value));
  const levels = distinct(all.map(({ level }) => level).filter((level) => level !== undefined));
  if (levels.length > 0) choice('level', [['', 'all'], ...levels.map((level) => [level, level])], (group, value) => group.level === Number(value));
  choice('rollouts', [['', 'all'], ['some', 'some right'], ['none', 'none right'], ['every', 'all right']], ({ rollouts }, value) => {
    if (rollouts.length === 0) return false;
    const right = rollouts.filter(({ correct }) => correct).length;
    return { some: right > 0, none: right === 0, every: right === rollouts.length }[value];
  });
  const least = element('input', { type: 'number', step: 'any', placeholder: 'any' });
  least.addEventListener('input', () => { limit = PAGE; list(); });
  filters.append(element('label', {}, 'reward at least', least));
  tests.push((group) => least.value === '' || rewards(group).some((reward) => reward >= Number(least.value)));
  const outcomes = [...new Set(all.flatMap(({ explanations }) => explanations.map(({ outcome }) => outcome)))].filter(Boolean).sort();
  if (outcomes.length > 0) {
    choice('explanation', [['', 'all'], ...outcomes.map((outcome) => [outcome, outcome])],
      ({ explanations }, value) => explanations.some(({ outcome }) => outcome === value));
  }
  const search = element('input', { type: 'search', placeholder: 'text' });
  search.addEventListener('input', () => { limit = PAGE; list(); });
  filters.append(element('label', {}, 'containing', search));
  tests.push((group) => {
    const wanted = search.value.toLowerCase();
    return wanted === '' || [group.question, group.problem, ...[...group.rollouts, ...group.explanations].map(({ text }) => text)]
      .some((text) => String(text).toLowerCase().includes(wanted));
  });

  const scores = (row) => {
    const parts = [row.correct ? 'right' : 'wrong'];
    if (row.outcome) parts.push(row.outcome);
    if (row.truncated) parts.push('cut off');
    if (typeof row.steps_right === 'boolean') parts.push(row.steps_right ? 'every step right' : 'a step wrong');
    if (typeof row.hint_information === 'number') {
      parts.push(`${shortNumber(row.hint_information)} nats from the hint, ${shortNumber(row.max_token_information)} in one token`);
    }
    if (typeof row.answer_position === 'number') parts.push(`the answer stands at ${Math.round(100 * row.answer_position)} %`);
    if (typeof row.reward === 'number') parts.push(`reward ${shortNumber(row.reward)}`);
    if (typeof row.advantage === 'number') parts.push(`advantage ${shortNumber(row.advantage)}`);
    for (const [name, value] of Object.entries(row.rewards ?? {})) {
      if (name !== 'correctness') parts.push(`${name} ${typeof value === 'number' ? shortNumber(value) : '-'}`);
    }
    return parts;
  };
  const textOf = (row) => {
    const [verdict, ...rest] = scores(row);
    const line = element('p', { className: 'note' }, element('b', { className: 'verdict' }, verdict), rest.map((part) => ` · ${part}`).join(''));
    // Older runs lack what the verifier found.
    const known = 'reason' in row || 'extracted' in row;
    const found = element('p', { className: 'found' });
    if (row.extracted === undefined) found.append(row.reason || 'no answer found');
    else found.append('answer found: ', element('code', {}, String(row.extracted)), row.reason ? ` (${row.reason})` : '');
    const parts = [line, ...(known ? [found] : []), element('pre', {}, row.text || '(empty)')];
    return element('div', { className: `text ${row.correct ? 'right' : 'wrong'}` }, ...parts);
  };
  const side = (title, rows) => element('div', {}, element('h4', {}, rows.length ? title : `${title}: none logged`), ...rows.map(textOf));
  const card = (group) => {
    const facts = [`step ${group.step}`, data.runs[group.run], group.level === undefined ? '' : `level ${group.level}`, group.subject ?? '', group.problem];
    const line = element('p', { className: 'note' }, ...facts.filter(Boolean).map((fact) => element('span', {}, String(fact))));
    line.prepend(element('span', { className: `chip c${(armOf.get(group.run) ?? 0) % COLOURS}` }));
    const sides = [side('Completions of the question alone', group.rollouts)];
    if (explains.has(group.run)) sides.push(side('Self-explanations, the answer shown', group.explanations));
    // As the model saw them, special tokens and all.
    const prompts = [['prompt', group.rollouts], ['prompt with the answer shown', group.explanations]].flatMap(([title, rows]) => {
      const prompt = rows.map(({ rendered_prompt: text }) => text).find((text) => text !== undefined);
      return prompt === undefined ? [] : [element('details', {}, element('summary', {}, title), element('pre', {}, prompt))];
    });
    return element('article', { className: 'group' }, line,
      element('div', { className: 'question' }, String(group.question)),
      element('p', { className: 'note' }, `Answer: ${group.answer}`),
      ...prompts,
      element('div', { className: sides.length > 1 ? 'sides two' : 'sides' }, ...sides));
  };
  function list() {
    const found = all.filter((group) => tests.every((test) => test(group)));
    byId('groups').replaceChildren(...found.slice(0, limit).map(card));
    byId('more').hidden = found.length <= limit;
    const kept = data.completions.rows.length;
    const part = kept < data.completions.total ? ` (${kept} of the ${data.completions.total} logged texts, of evenly spread steps)` : '';
    byId('shown').textContent = all.length === 0 ? 'No completions were logged.' : `${Math.min(limit, found.length)} of ${found.length} questions${part}`;
  }
  byId('more').addEventListener('click', () => { limit += PAGE; list(); });
  if (all.length > 0 && steps.length > 1) {
    // The last step says most about a run.
    const select = [...filters.querySelectorAll('select')].find((one) => one.parentElement.firstChild.textContent === 'step');
    select.value = String(steps[steps.length - 1]);
  }
  list();
})();
