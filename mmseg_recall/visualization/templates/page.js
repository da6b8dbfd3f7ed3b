'use strict';
// What the page shows is in `data`; names reach the page as text only, never as HTML.
const data = JSON.parse(document.getElementById('data').textContent);
const PAGE_ROWS = 25, MATRIX_CLASSES = 30, BARS = 40;
const SVG = 'http://www.w3.org/2000/svg';
const byId = (id) => document.getElementById(id);
const [first] = data.runs;
const segmentation = data.task === 'segmentation';
const scores = Object.keys(data.scores);
const all = data.classes.map((_, label) => label);
const state = {other: data.runs.length > 1 ? 1 : 0, label: null, page: 0, sort: 'frequency',
  down: true, search: '', group: '', mode: 'difference', cell: null, image: 0, view: 'other',
  opacity: 0.65, errors: false, off: new Set()};

/** An element with properties (`aria-...`, `data-...`, `class` as attributes) and content. */
function make(tag, properties = {}, ...content) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...content);
  return element;
}

function draw(tag, attributes, ...content) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...content);
  return element;
}

function options(select, entries, chosen) {
  select.replaceChildren(...entries.map(([value, text]) => new Option(text, value)));
  select.value = chosen;
}

function choices(fieldset, name, entries, chosen, act) {
  entries.forEach(([value, text]) => {
    const input = make('input', {type: 'radio', name, value, checked: value === chosen});
    input.addEventListener('change', () => act(value));
    fieldset.append(make('label', {}, input, text));
  });
}

const number = (value) => value.toLocaleString('en', {maximumFractionDigits: 2});
const counted = (amount, one, many = `${one}s`) => `${number(amount)} ${amount === 1 ? one : many}`;
const inWords = (label) =>
  (/^\d+$/.test(data.classes[label]) ? `class ${data.classes[label]}` : data.classes[label]);
const other = () => data.runs[state.other];
const runColour = (index) => `var(--run${index % 6})`;
const difference = (score, label) =>
  state.other ? data.scores[score][label].differences[state.other - 1] : null;
const kind = (value) => (value > 0 ? 'gain' : value < 0 ? 'loss' : 'unclear');

// --- the table of classes --------------------------------------------------------------------

const keys = [
  {id: 'name', title: 'class', value: (label) => data.classes[label]},
  {id: 'frequency', title: data.frequency.title, value: (label) => data.frequency.values[label]},
];
for (const score of scores) {
  if (data.runs.length > 1) {
    keys.push({id: `gain ${score}`, title: `gain in ${score}`,
      value: (label) => difference(score, label)[0]});
  }
  keys.push({id: `value ${score}`, title: score,
    value: (label) => data.scores[score][label].values[state.other]});
}

function compared(a, b) {
  if (a === null || b === null) return (a === null) - (b === null); // last in either direction
  const order = typeof a === 'string' ? a.localeCompare(b, 'en', {numeric: true}) : a - b;
  return state.down ? -order : order;
}

function shownClasses() {
  const {value} = keys.find((key) => key.id === state.sort);
  const search = state.search.toLowerCase();
  return (state.group ? data.groups[state.group] : all)
    .filter((label) => data.classes[label].toLowerCase().includes(search))
    .sort((a, b) => compared(value(a), value(b)) || a - b);
}

/** The farthest any interval of a score reaches from 0, so that all its rows have one scale. */
function scale(score) {
  return all.reduce((most, label) => {
    const [value, low, high] = difference(score, label);
    return Math.max(most, Math.abs(value), Math.abs(low), Math.abs(high)); // null is 0
  }, 1);
}

function span([value, low, high, clear], most) {
  const x = (bound) => 100 + 96 * bound / most;
  const colour = clear ? `var(--${kind(value)})` : 'var(--muted)';
  const marks = [draw('line', {x1: 100, x2: 100, y1: 0, y2: 10, stroke: 'var(--line)'})];
  if (value !== null) {
    if (low !== null) {
      marks.push(draw('line', {x1: x(low), x2: x(high), y1: 5, y2: 5, stroke: colour,
        'stroke-width': 2}));
    }
    marks.push(draw('rect', {x: x(value) - 2, y: 1, width: 4, height: 8, fill: colour}));
  }
  return draw('svg', {class: 'span', viewBox: '0 0 200 10', preserveAspectRatio: 'none',
    'aria-hidden': 'true'}, ...marks);
}

function bar(value) {
  return draw('svg', {class: 'span', viewBox: '0 0 100 10', preserveAspectRatio: 'none',
    'aria-hidden': 'true'},
  draw('rect', {x: 0, y: 2, width: value || 0, height: 6, fill: runColour(0)}));
}

function scoreCell(score, label, most) {
  const entry = data.scores[score][label];
  const cell = make('td', {'data-label': score});
  if (!state.other) {
    cell.append(entry.texts[0], bar(entry.values[0]));
    return cell;
  }
  const change = difference(score, label);
  cell.append(
    make('span', {class: 'both'}, make('span', {class: 'before'}, entry.texts[0]), ' → ',
      make('span', {class: 'after'}, entry.texts[state.other])), make('br'),
    make('span', {class: change[3] ? kind(change[0]) : 'unclear'}, change[4]),
    span(change, most));
  return cell;
}

function drawHead() {
  const columns = [keys[0], keys[1], ...scores.map((score) =>
    keys.find((key) => key.id === `${data.runs.length > 1 ? 'gain' : 'value'} ${score}`))];
  document.querySelector('#table thead tr').replaceChildren(...columns.map((key, index) => {
    const sorted = key.id === state.sort;
    const title = index < 2 ? key.title
      : `${scores[index - 2]}${state.other ? `: ${first} → ${other()}` : ''}`;
    const button = make('button', {type: 'button', 'data-sort': key.id},
      title, sorted ? (state.down ? ' ▼' : ' ▲') : '');
    button.addEventListener('click', () => {
      state.down = sorted ? !state.down : key.id !== 'name';
      state.sort = key.id;
      drawTable();
      document.querySelector(`[data-sort="${CSS.escape(key.id)}"]`).focus();
    });
    return make('th', {scope: 'col',
      'aria-sort': sorted ? (state.down ? 'descending' : 'ascending') : 'none'}, button);
  }));
}

function drawTable() {
  const shown = shownClasses();
  const pages = Math.max(1, Math.ceil(shown.length / PAGE_ROWS));
  state.page = Math.min(state.page, pages - 1);
  const start = state.page * PAGE_ROWS;
  const most = scores.map((score) => (state.other ? scale(score) : 1));
  drawHead();
  document.querySelector('#table tbody').replaceChildren(
    ...shown.slice(start, start + PAGE_ROWS).map((label) => {
      const button = make('button', {type: 'button'}, data.classes[label]);
      button.addEventListener('click', () => choose(label));
      const frequency = data.frequency.values[label];
      return make('tr', {class: label === state.label ? 'chosen' : '', 'data-class': label},
        make('th', {scope: 'row'}, button),
        make('td', {'data-label': data.frequency.title}, frequency === null ? '-'
          : number(frequency)),
        ...scores.map((score, index) => scoreCell(score, label, most[index])));
    }));
  document.querySelector('#table caption').textContent =
    `Scores of each class in percent${state.other ? `, ${first} → ${other()}` : ''}. ` +
    'Click a class to see what it becomes, and its images, below.';
  byId('page').textContent = (pages > 1
    ? `${start + 1} to ${Math.min(shown.length, start + PAGE_ROWS)} of ` : '') +
    (shown.length ? counted(shown.length, 'class', 'classes') : 'No class matches.');
  byId('previous').hidden = byId('next').hidden = pages < 2;
  byId('previous').disabled = state.page === 0;
  byId('next').disabled = state.page === pages - 1;
  byId('sort').value = state.sort;
  byId('direction').textContent = state.down ? 'Descending' : 'Ascending';
}

/** With many classes: recall over frequency, a dot per class and the mean of classes alike. */
function drawTail() {
  const score = segmentation ? 'Acc' : 'recall';
  if (all.length <= BARS || !data.scores[score]) return;
  const lines = [...new Set([0, state.other])].map((run) => {
    const points = all.map((label) => [data.frequency.values[label],
      data.scores[score][label].values[run]])
      .filter(([x, y]) => x > 0 && y !== null).sort((a, b) => a[0] - b[0]);
    const parts = new Map(); // four to each power of ten
    for (const point of points) {
      const place = Math.round(4 * Math.log10(point[0]));
      parts.set(place, [...(parts.get(place) || []), point]);
    }
    const means = [...parts.values()].map((part) => [0, 1].map((axis) =>
      part.reduce((sum, point) => sum + point[axis], 0) / part.length));
    return {name: data.runs[run], colour: runColour(run), points, x: means.map((p) => p[0]),
      y: means.map((p) => p[1])};
  });
  byId('tail').replaceChildren(chart(`Recall over ${data.frequency.title}`,
    data.frequency.title, lines, {log: true, top: 100,
      note: 'A dot for each class; the lines are means of classes of similar frequency.'}));
}

// --- the confusion matrix --------------------------------------------------------------------

const rows = all.map(() => new Map()); // by true class: predicted class -> counts of the runs
for (const [truth, predicted, ...counts] of data.pairs) rows[truth].set(predicted, counts);
const supports = rows.map((row) => [...row.values()].reduce(
  (sums, counts) => sums.map((sum, run) => sum + counts[run]), data.runs.map(() => 0)));
const none = data.runs.map(() => 0);

function share(truth, predicted, run) {
  const counts = rows[truth].get(predicted) || none;
  return supports[truth][run] ? 100 * counts[run] / supports[truth][run] : 0;
}

function shown(truth, predicted) {
  if (state.mode === 'first') return share(truth, predicted, 0);
  if (state.mode === 'other') return share(truth, predicted, state.other);
  return share(truth, predicted, state.other) - share(truth, predicted, 0);
}

/** All classes, or, of many, the chosen one and those it is confused with the most. */
function matrixClasses() {
  if (all.length <= MATRIX_CLASSES) return all;
  const centre = state.label ?? mostChanged();
  const weight = new Map([[centre, Infinity]]);
  const add = (label, value) => weight.set(label, (weight.get(label) || 0) + value);
  for (const predicted of rows[centre].keys()) {
    add(predicted, share(centre, predicted, 0) + share(centre, predicted, state.other));
  }
  for (const truth of all) {
    if (rows[truth].has(centre)) {
      add(truth, share(truth, centre, 0) + share(truth, centre, state.other));
    }
  }
  return [...weight].sort((a, b) => b[1] - a[1]).slice(0, MATRIX_CLASSES).map(([label]) => label);
}

function mostChanged() {
  return all.reduce((best, label) =>
    (Math.abs(shown(label, label)) > Math.abs(shown(best, best)) ? label : best), 0);
}

function cellColour(truth, predicted, value) {
  const good = (truth === predicted ? 1 : -1) * (state.mode === 'difference' ? value : 1);
  const strength = Math.min(1, Math.abs(value) / (state.mode === 'difference' ? 30 : 100)) ** 0.7;
  return `color-mix(in srgb, var(--${good > 0 ? 'gain' : 'loss'}) ` +
    `calc(${strength.toFixed(2)} * var(--strongest)), var(--panel))`;
}

function drawMatrix() {
  const labels = matrixClasses();
  const names = labels.map((label) => data.classes[label]);
  document.querySelector('#matrix thead').replaceChildren(make('tr', {}, make('td'),
    ...names.map((name) => make('th', {scope: 'col'}, make('span', {title: name}, name)))));
  document.querySelector('#matrix tbody').replaceChildren(...labels.map((truth, row) =>
    make('tr', {}, make('th', {scope: 'row', title: names[row]}, names[row]),
      ...labels.map((predicted, column) => {
        const value = shown(truth, predicted);
        const text = Math.abs(value) >= 0.5 ? value.toFixed(0) : '';
        const chosen = state.cell && state.cell[0] === truth && state.cell[1] === predicted;
        const button = make('button', {type: 'button', 'data-cell': `${truth},${predicted}`,
          'aria-pressed': String(Boolean(chosen)), 'aria-label': cellText(truth, predicted),
          title: cellText(truth, predicted), tabIndex: chosen || (!state.cell && !row && !column)
            ? 0 : -1}, text);
        button.style.backgroundColor = cellColour(truth, predicted, value);
        button.addEventListener('click', () => chooseCell(truth, predicted));
        return make('td', {}, button);
      }))));
  const what = {first, other: other(), difference: `${other()} minus ${first}`}[state.mode];
  const mean = data.shownTraining.some(Boolean) ? ', the mean over the trainings of a run' : '';
  document.querySelector('#matrix caption').textContent =
    `Rows: true class; columns: prediction; in percent of the true class (${what}${mean}).`;
  byId('confusion-note').textContent = (all.length > MATRIX_CLASSES
    ? `The chosen class and up to ${MATRIX_CLASSES - 1} classes it is confused with. ` : '') +
    (state.mode === 'difference'
      ? 'Blue is better (more on the diagonal, less off it), orange is worse. '
      : 'Blue: predicted as it is; orange: taken for another class. ') +
    'Arrow keys move from cell to cell.';
  drawBecomes();
}

function cellText(truth, predicted) {
  const parts = [...new Set([0, state.other])].map((run) =>
    `${share(truth, predicted, run).toFixed(2)} % (${data.runs[run]})`);
  return `${inWords(truth)} predicted as ${inWords(predicted)}: ${parts.join(' → ')}`;
}

/** What the chosen class becomes, as a list: the row of the matrix that a phone can show. */
function drawBecomes() {
  const table = byId('becomes');
  table.hidden = state.label === null || !rows[state.label].size;
  if (table.hidden) return;
  const runs = [...new Set([0, state.other])];
  table.querySelector('caption').textContent =
    `What ${inWords(state.label)} becomes, in percent${rows[state.label].size > 10
      ? ': the ten largest parts' : ''}`;
  table.querySelector('thead').replaceChildren(make('tr', {},
    ...['predicted as', ...runs.map((run) => data.runs[run])].map((text) =>
      make('th', {scope: 'col'}, text))));
  const largest = [...rows[state.label].keys()].sort((a, b) =>
    Math.max(...runs.map((run) => share(state.label, b, run))) -
    Math.max(...runs.map((run) => share(state.label, a, run)))).slice(0, 10);
  table.querySelector('tbody').replaceChildren(...largest.map((predicted) => {
    const button = make('button', {type: 'button'}, data.classes[predicted]);
    button.addEventListener('click', () => chooseCell(state.label, predicted));
    return make('tr', {}, make('th', {scope: 'row'}, button), ...runs.map((run) =>
      make('td', {'data-label': data.runs[run]}, share(state.label, predicted, run).toFixed(2))));
  }));
}

function chooseCell(truth, predicted) {
  state.label = truth;
  state.cell = [truth, predicted];
  state.image = 0;
  byId('class').value = truth;
  drawTable();
  drawMatrix();
  drawImages();
  byId('cell').replaceChildren(`${cellText(truth, predicted)}. `,
    data.images.length ? make('a', {href: '#images'}, 'Its images') : '');
  const cell = document.querySelector(`[data-cell="${truth},${predicted}"]`);
  if (cell) cell.focus({preventScroll: true});
}

byId('matrix').addEventListener('keydown', (event) => {
  const step = {ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0]}[
    event.key];
  const cell = event.target.closest('td');
  if (!step || !cell) return;
  event.preventDefault();
  const row = cell.parentElement.parentElement.rows[cell.parentElement.sectionRowIndex + step[0]];
  const next = row && row.cells[cell.cellIndex + step[1]];
  const button = next && next.querySelector('button');
  if (button) {
    event.target.tabIndex = -1;
    button.tabIndex = 0;
    button.focus();
    byId('cell').textContent = button.getAttribute('aria-label');
  }
});

// --- images ----------------------------------------------------------------------------------

/** Correct and wrong positions of a class (of all classes: null) in an image, for each run. */
function totals(image, label) {
  const sums = data.runs.map(() => ({correct: 0, missed: 0, wrong: 0}));
  for (const [truth, predicted, ...counts] of image.pairs) {
    if (label !== null && truth !== label && predicted !== label) continue;
    const part = truth === predicted ? 'correct'
      : label === null || truth === label ? 'missed' : 'wrong';
    counts.forEach((count, run) => { sums[run][part] += count; });
  }
  return sums;
}

const pairCounts = (image, [truth, predicted]) =>
  (image.pairs.find(([t, p]) => t === truth && p === predicted) || [0, 0, ...none]).slice(2);

/** How much an image changed, in correct positions less wrong ones; of one run, its errors. */
function interest(image) {
  const sums = totals(image, state.label);
  const value = ({correct, missed, wrong}) => correct - missed - wrong;
  return state.other ? Math.abs(value(sums[state.other]) - value(sums[0]))
    : sums[0].missed + sums[0].wrong;
}

/** The images of the chosen cell or class, those that changed the most first. */
function rankedImages() {
  let images = data.images;
  let weight = interest;
  if (state.cell) {
    images = images.filter((image) => pairCounts(image, state.cell)
      .some((count, run) => count && (run === 0 || run === state.other)));
    weight = (image) => {
      const counts = pairCounts(image, state.cell);
      if (state.mode === 'first') return counts[0];
      if (state.mode === 'other' || !state.other) return counts[state.other];
      return Math.abs(counts[state.other] - counts[0]);
    };
  } else if (state.label !== null) {
    images = images.filter((image) => image.pairs.some(([truth, predicted]) =>
      truth === state.label || predicted === state.label));
  }
  return images.map((image) => [weight(image), image])
    .sort((a, b) => b[0] - a[0] || a[1].index - b[1].index).map(([, image]) => image);
}

const source = (type, content) => `data:image/${type};base64,${content}`;

function caption(image) {
  if (!segmentation) {
    const [truth] = image.pairs[0];
    const said = (run) => data.classes[image.pairs.find((pair) => pair[2 + run])[1]];
    return [make('span', {}, `truth: ${data.classes[truth]}`),
      ...[...new Set([0, state.other])].map((run) => {
        const right = said(run) === data.classes[truth];
        return make('span', {class: right ? 'gain' : 'loss'},
          `${data.runs[run]}: ${said(run)} ${right ? '✓' : '✗'}`);
      })];
  }
  if (state.cell) {
    const counts = pairCounts(image, state.cell);
    return [make('span', {}, state.other
      ? `${number(counts[0])} → ${number(counts[state.other])} pixels`
      : counted(counts[0], 'pixel'))];
  }
  const percent = ({correct, missed, wrong}) => 100 * correct / (correct + missed + wrong);
  const sums = totals(image, state.label);
  const values = [...new Set([0, state.other])].map((run) => percent(sums[run]));
  const text = `${state.label === null ? 'correct' : 'IoU'}: ` + values.map((value) =>
    (Number.isNaN(value) ? '-' : value.toFixed(1))).join(' → ') + ' %';
  return [make('span', {class: kind(values.at(-1) - values[0])}, text)];
}

let current = []; // the images shown, in their order

/** Which images are shown, in which order, and how those of the page were chosen. */
function imagesNote() {
  const total = counted(data.images.length, 'image'), shown = current.length;
  const what = state.cell
    ? `${inWords(state.cell[0])} predicted as ${inWords(state.cell[1])}`
    : state.label === null ? '' : `${inWords(state.label)} as truth or prediction`;
  const order = state.cell && (state.mode !== 'difference' || !state.other)
    ? 'with the most of it' : state.other ? 'that changed the most' : 'with the most errors';
  const part = shown > 1 && shown === data.images.length ? `All ${total}`
    : `${shown || 'None'} of the ${total}`;
  const which = what ? `${part} in this page ${shown > 1 ? 'have' : 'has'} ${what}` : total;
  const choice = data.images.length < data.numImages
    ? `The page has those of ${number(data.numImages)} validation images that ` +
      `${state.other ? 'changed the most' : 'have the most errors'} in one class or another, so ` +
      'they do not show the average.'
    : 'The page has all validation images.';
  const trainings = data.runs.map((run, index) => [run, data.shownTraining[index]])
    .filter(([, training]) => training).map((pair) => pair.join(': '));
  return `${which}${shown > 1 ? `, those ${order} first` : ''}. ${choice}` +
    (trainings.length ? ` Predictions are those of ${trainings.join('; ')}.` : '');
}

function drawImages() {
  byId('images').hidden = !data.images.length;
  if (!data.images.length) return;
  current = rankedImages();
  byId('images-note').textContent = imagesNote();
  state.image = Math.min(state.image, Math.max(0, current.length - 1));
  byId('strip').replaceChildren(...current.map((image, index) => {
    const picture = make('img', {src: source('jpeg', image.image), loading: 'lazy',
      alt: `Validation image ${image.index}`, class: segmentation ? '' : 'small'});
    const button = make('button', {type: 'button', 'data-index': image.index,
      'aria-pressed': String(index === state.image && segmentation)}, picture,
    make('span', {}, `image ${image.index} `), make('br'));
    caption(image).forEach((part) => button.append(part, make('br')));
    button.addEventListener('click', () => showImage(index));
    return make('li', {}, segmentation ? button : make('div', {}, ...button.childNodes));
  }));
  byId('viewer').hidden = !segmentation || !current.length;
  if (!byId('viewer').hidden) drawImage();
}

function showImage(index) {
  state.image = index;
  [...document.querySelectorAll('#strip button')].forEach((button, place) =>
    button.setAttribute('aria-pressed', String(place === index)));
  drawImage();
}

async function pixels(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const canvas = make('canvas', {width: image.naturalWidth, height: image.naturalHeight});
  const context = canvas.getContext('2d', {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

const decoded = new Map();

/** The labels of a label map; those outside the classes are above all labels. */
async function labelMap(content) {
  if (!decoded.has(content)) {
    const wide = all.length >= 256;
    const {data: bytes} = await pixels(source('png', content));
    decoded.set(content, Uint16Array.from({length: bytes.length / 4}, (_, place) =>
      bytes[4 * place] + (wide ? 256 * bytes[4 * place + 1] : 0)));
  }
  return decoded.get(content);
}

const rgb = (name) => {
  const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim().slice(1);
  return [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
};

/** Colour and opacity of a position; nothing where the image alone is to be seen. */
function colourOf(truth, label, missed, wrong) {
  if (state.errors && state.label !== null) {
    if (truth >= all.length) return null;
    if (truth === state.label && label !== state.label) return [missed, 1];
    if (label === state.label && truth !== state.label) return [wrong, 1];
    return label === state.label ? [data.palette[label], 0.6] : null;
  }
  if (label >= all.length || state.off.has(label)) return null;
  return [data.palette[label], state.opacity];
}

let latest = 0;

async function drawImage() {
  const turn = ++latest;
  const image = current[state.image];
  const shownRun = {truth: null, first: 0, other: state.other}[state.view];
  const map = shownRun === null ? image.truth : image.predicted[shownRun];
  const [photo, truth, labels] = await Promise.all(
    [pixels(source('jpeg', image.image)), labelMap(image.truth), labelMap(map)]);
  if (turn !== latest) return; // another was chosen meanwhile
  const missed = rgb('--missed'), wrong = rgb('--wrong');
  for (let place = 0; place < labels.length; place++) {
    const colour = colourOf(truth[place], labels[place], missed, wrong);
    if (!colour) continue;
    for (let channel = 0; channel < 3; channel++) {
      const at = 4 * place + channel;
      photo.data[at] += colour[1] * (colour[0][channel] - photo.data[at]);
    }
  }
  const canvas = byId('canvas');
  canvas.width = photo.width;
  canvas.height = photo.height;
  canvas.getContext('2d').putImageData(photo, 0, 0);
  const training = data.shownTraining[shownRun];
  const what = shownRun === null ? 'truth'
    : `prediction of ${data.runs[shownRun]}${training ? ` (${training})` : ''}`;
  canvas.dataset.image = image.index;
  canvas.setAttribute('aria-label', `Validation image ${image.index}, ${what}`);
  const notes = [`Image ${image.index}: ${what}. `];
  if (state.errors && state.label !== null) {
    notes.push(key('var(--missed)'), ` ${data.classes[state.label]} missed (false negative) `,
      key('var(--wrong)'), ` wrongly ${data.classes[state.label]} (false positive)`);
  }
  document.querySelector('#viewer figcaption').replaceChildren(...notes);
  byId('earlier').disabled = state.image === 0;
  byId('later').disabled = state.image === current.length - 1;
  byId('errors').disabled = state.label === null;
  drawLegend(new Set([...truth, ...labels]));
}

function key(colour) {
  const mark = make('i', {class: 'key', 'aria-hidden': 'true'});
  mark.style.background = colour;
  return mark;
}

function drawLegend(found) {
  byId('legend').replaceChildren(make('legend', {}, 'Draw'), ...all.filter((label) =>
    found.has(label)).map((label) => {
    const input = make('input', {type: 'checkbox', checked: !state.off.has(label)});
    input.addEventListener('change', () => {
      if (input.checked) state.off.delete(label);
      else state.off.add(label);
      drawImage();
    });
    return make('label', {}, input, key(`rgb(${data.palette[label]})`), data.classes[label]);
  }));
}

// --- charts ----------------------------------------------------------------------------------

function ticks(low, high, log) {
  if (log) {
    const powers = [];
    for (let power = Math.ceil(Math.log10(low)); power <= Math.log10(high); power++) {
      powers.push(10 ** power);
    }
    return powers;
  }
  const rough = (high - low) / 5 || 1, unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * unit).find((size) => size >= rough);
  const marks = [];
  for (let k = Math.ceil(low / step); k * step <= high * 1.0001; k++) marks.push(k * step);
  return marks;
}

/** Lines, and dots behind them, with axes and a key below: `{name, colour, x, y, points, faint}`. */
function chart(title, below, lines, {log = false, top = null, note = '', key: keyed = true} = {}) {
  const [width, height, left, under] = [520, 270, 52, 44];
  const xs = lines.flatMap(({x, points = []}) => [...x, ...points.map((p) => p[0])]);
  const ys = lines.flatMap(({y}) => y).filter((y) => y !== null);
  const extreme = (values, best) => values.reduce((a, b) => best(a, b));
  const [x0, x1] = [extreme(xs, Math.min), extreme(xs, Math.max)];
  const [y0, y1] = [Math.min(0, extreme(ys, Math.min)), top ?? (extreme(ys, Math.max) || 1)];
  const along = (x) => (log ? Math.log10(x / x0) / (Math.log10(x1 / x0) || 1)
    : (x - x0) / ((x1 - x0) || 1));
  const px = (x) => (left + along(x) * (width - left - 24)).toFixed(1);
  const py = (y) => (height - under - (y - y0) / (y1 - y0) * (height - under - 12)).toFixed(1);
  const svg = draw('svg', {class: 'chart', viewBox: `0 0 ${width} ${height}`, role: 'img',
    'aria-label': `${title}: ${lines.map((line) => line.name).slice(0, 8).join(', ')}`});
  for (const y of ticks(y0, y1)) {
    svg.append(draw('line', {class: 'grid', x1: left, x2: width - 24, y1: py(y), y2: py(y)}),
      draw('text', {x: left - 6, y: +py(y) + 4, 'text-anchor': 'end'}, number(y)));
  }
  for (const x of ticks(x0, x1, log)) {
    svg.append(draw('text', {x: px(x), y: height - under + 16, 'text-anchor': 'middle'},
      number(x)));
  }
  svg.append(draw('text', {x: width - 24, y: height - 2, 'text-anchor': 'end'}, below));
  for (const {points = [], colour} of lines) {
    svg.append(draw('path', {d: points.map(([x, y]) => `M${px(x)} ${py(y)}h0`).join(''),
      stroke: colour, 'stroke-width': 4, 'stroke-linecap': 'round', opacity: 0.35}));
  }
  for (const {name, colour, x, y, faint} of lines) {
    const path = x.map((at, k) => (y[k] === null ? '' : `${px(at)} ${py(y[k])}`))
      .filter(Boolean).join('L');
    svg.append(draw('path', {class: `line${faint ? ' faint' : ''}`, d: `M${path}`,
      stroke: colour}, draw('title', {}, name)));
  }
  return make('figure', {}, make('h3', {}, title), svg, ...(keyed ? [make('div', {class: 'keys'},
    ...lines.map(({name, colour}) => make('label', {}, key(colour), name)))] : []),
  make('figcaption', {}, note));
}

function drawCharts() {
  const colour = (run) => runColour(data.runs.indexOf(run));
  const charts = data.curves.map(({title, lines}) => chart(title, 'iteration or epoch',
    Object.entries(lines).map(([name, [x, y]]) => ({name, colour: colour(name), x, y}))));
  for (const [run, curves] of Object.entries(data.weights)) {
    const chosen = state.label === null ? null : data.classes[state.label];
    const lines = Object.entries(curves).map(([name, [x, y]], index) =>
      ({name, x, y, faint: chosen !== null && name !== chosen,
        colour: name === chosen ? 'var(--gain)' : chosen === null ? runColour(index + 1)
          : 'var(--run0)'})).sort((a, b) => b.faint - a.faint);
    charts.push(chart(`Recall weights of ${run}`, 'iteration', lines, {key: lines.length <= 5,
      note: '1 - recall of each class in the training batches' +
        (chosen === null ? '; choose a class to see its line.'
          : chosen in curves ? `; ${chosen} in blue.` : `; ${chosen} has no line here.`)}));
  }
  if (data.likelihood.length) {
    const order = [...all].sort((a, b) => data.frequency.values[b] - data.frequency.values[a]);
    charts.push(chart('Mean predicted score of each class (%)', 'classes, by frequency',
      data.likelihood.map((of, run) => ({name: data.runs[run], colour: runColour(run),
        x: order.map((_, place) => place + 1), y: order.map((label) => of[label])})),
      {note: `Equal for all classes would be ${number(100 / all.length)} %.`}));
  }
  byId('charts').replaceChildren(...charts);
  byId('trainings').hidden = !charts.length;
}

// --- what is chosen --------------------------------------------------------------------------

function choose(label) {
  state.label = label;
  state.cell = null;
  state.image = 0;
  byId('class').value = label ?? '';
  byId('cell').textContent = 'Choose a cell to see its numbers and images.';
  drawAll();
}

function drawAll() {
  drawTable();
  drawTail();
  drawMatrix();
  drawImages();
  drawCharts();
  for (const link of document.querySelectorAll('nav a')) {
    link.hidden = document.querySelector(link.hash).hidden;
  }
}

function act(id, event, change, redraw) {
  byId(id).addEventListener(event, ({target}) => {
    change(target);
    redraw();
  });
}

options(byId('other'), data.runs.slice(1).map((run, index) => [index + 1, run]), state.other);
byId('other').parentElement.hidden = data.runs.length < 3;
options(byId('class'), [['', 'all'], ...all.map((label) => [label, data.classes[label]])], '');
options(byId('group'), [['', 'all classes'], ...Object.entries(data.groups).map(
  ([name, labels]) => [name, `${name} (${labels.length})`])], '');
options(byId('sort'), keys.map(({id, title}) => [id, title]), state.sort);
const modes = [['difference', 'difference'], ['first', first], ['other', data.runs.length > 2 ? 'compared run' : other()]];
if (!state.other) state.mode = 'first';
choices(byId('mode'), 'mode', state.other ? modes : [['first', first]], state.mode, (mode) => {
  state.mode = mode;
  drawMatrix();
  drawImages();
});
choices(byId('view'), 'view', [['truth', 'truth'], ['first', first],
  ...(state.other ? [['other', data.runs.length > 2 ? 'compared run' : other()]] : [])],
state.other ? 'other' : 'first', (view) => { state.view = view; drawImage(); });
if (!state.other) state.view = 'first';

act('other', 'change', ({value}) => { state.other = Number(value); }, drawAll);
act('class', 'change', () => {}, () => choose(
  byId('class').value === '' ? null : Number(byId('class').value)));
act('search', 'input', ({value}) => { state.search = value; state.page = 0; }, drawTable);
act('group', 'change', ({value}) => { state.group = value; state.page = 0; }, drawTable);
act('sort', 'change', ({value}) => { state.sort = value; state.down = value !== 'name'; },
  drawTable);
act('direction', 'click', () => { state.down = !state.down; }, drawTable);
act('previous', 'click', () => { state.page -= 1; }, drawTable);
act('next', 'click', () => { state.page += 1; }, drawTable);
act('opacity', 'input', ({value}) => { state.opacity = value / 100; }, drawImage);
act('errors', 'change', ({checked}) => { state.errors = checked; }, drawImage);
act('earlier', 'click', () => {}, () => showImage(state.image - 1));
act('later', 'click', () => {}, () => showImage(state.image + 1));
drawAll();
