'use strict';
// The page is whole without this, but for the browser of utterances. Nothing here makes markup out of text:
// words of utterances, ids and labels go through textContent only.
(() => {
  document.documentElement.classList.add('js');
  const byId = id => document.getElementById(id);
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const data = JSON.parse(byId('data').textContent);

  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  // ---------------------------------------------------------------- tables that sort
  // A cell's worth: data-v, or the first number of its text, or its text; a cell without a figure comes last.
  function worth(cell) {
    if (cell.dataset.v !== undefined) return cell.dataset.v === '' ? null : Number(cell.dataset.v);
    const text = cell.textContent.trim();
    if (text === '-' || text === '') return null;
    const number = cell.classList.contains('num') ? parseFloat(text.replace(/,/g, '')) : NaN;
    return Number.isNaN(number) ? text : number;
  }

  function compare(one, other) {
    if (one === null || other === null) return (one === null) - (other === null);
    if (typeof one === 'number' && typeof other === 'number') return one - other;
    return String(one).localeCompare(String(other), undefined, {numeric: true});
  }

  function sort(table, column, descending) {
    const body = table.tBodies[0];
    const groups = [];
    for (const row of body.rows) {
      if (row.classList.contains('seed') && groups.length) groups[groups.length - 1].push(row);
      else groups.push([row]);
    }
    const keyed = groups.map(group => [worth(group[0].cells[column]), group]);
    keyed.sort(([one], [other]) => {
      const empty = one === null || other === null;
      return compare(one, other) * (descending && !empty ? -1 : 1);
    });
    body.append(...keyed.flatMap(([, group]) => group));
    all('th', table.tHead).forEach((head, place) => {
      if (place === column) head.setAttribute('aria-sort', descending ? 'descending' : 'ascending');
      else head.removeAttribute('aria-sort');
    });
  }

  for (const table of all('table.sortable')) {
    all('th', table.tHead).forEach((head, column) => {
      const button = make('button', {type: 'button'});
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener('click', () => {
        const now = head.getAttribute('aria-sort');  // the best first; then the other way round
        sort(table, column, now ? now === 'ascending' : 'rising' in head.dataset);
      });
    });
  }

  // ---------------------------------------------------------------- which columns and pictures
  function showKeys() {
    const set = byId('of-set').value, tag = byId('of-tag').value;
    const shown = new Set();
    data.keys.forEach((key, number) => {
      if ((set === '' || key.set === set) && (tag === '' || key.tag === tag)) shown.add(String(number));
    });
    byId('table').classList.toggle('one-set', set !== '');
    for (const node of all('[data-keys]')) {
      node.hidden = !node.dataset.keys.trim().split(' ').some(number => shown.has(number));
    }
  }

  function filterSystems() {
    const words = byId('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
    const seeds = byId('every-seed').getAttribute('aria-pressed') === 'true';
    let shown = 0, rows = 0;
    for (const row of byId('table').tBodies[0].rows) {
      const name = data.labels[row.dataset.series].toLowerCase();
      const fits = words.every(word => name.includes(word));
      const seed = row.classList.contains('seed');
      row.hidden = !fits || (seed && !seeds);
      if (!seed) { rows += 1; shown += fits; }
    }
    byId('shown').textContent = words.length ? `${shown} of ${rows} systems` : '';
  }

  // ---------------------------------------------------------------- one system among the others
  function light(number) {
    document.body.toggleAttribute('data-lit', number !== null);
    for (const node of all('figure [data-series]')) node.classList.toggle('lit', node.dataset.series === number);
  }
  for (const node of all('.legend [data-series], #table [data-series]')) {
    node.addEventListener('mouseenter', () => light(node.dataset.series));
    node.addEventListener('mouseleave', () => light(null));
    node.addEventListener('focus', () => light(node.dataset.series));
    node.addEventListener('blur', () => light(null));
  }

  if (byId('table')) {
    if (data.first.set !== undefined) {
      byId('of-set').value = data.sets[data.first.set].name;
      if (byId('of-tag').options.length > 3) byId('of-tag').value = data.first.tag;
    }
    byId('of-set').addEventListener('change', showKeys);
    byId('of-tag').addEventListener('change', showKeys);
    byId('filter').addEventListener('input', filterSystems);
    byId('every-seed').addEventListener('click', event => {
      const pressed = event.currentTarget.getAttribute('aria-pressed') !== 'true';
      event.currentTarget.setAttribute('aria-pressed', String(pressed));
      filterSystems();
    });
    showKeys();
    filterSystems();
  }
  addEventListener('beforeprint', () => all('details').forEach(node => { node.open = true; }));

  // ---------------------------------------------------------------- alignments
  // What alignments.pack wrote: [operation, reference word, hypothesis word] for each step.
  function unpack(reference, packed) {
    const words = reference === '' ? [] : reference.split(' ');
    const steps = [];
    let at = 0;
    for (const token of packed === '' ? [] : packed.split(' ')) {
      const rest = token.slice(1);
      if (token[0] === '=') for (let k = Number(rest); k > 0; k -= 1, at += 1) steps.push(['C', words[at], words[at]]);
      else if (token[0] === '/') steps.push(['S', words[at++], rest]);
      else if (token[0] === '~') steps.push(['C', words[at++], rest]);
      else if (token[0] === '-') steps.push(['D', words[at++], '']);
      else steps.push(['I', '', rest]);
    }
    for (; at < words.length; at += 1) steps.push(['C', words[at], words[at]]);
    return steps;
  }

  // Steps by reference word: those before word k, and the one at it.
  function byWord(steps) {
    const places = [{before: []}];
    for (const step of steps) {
      if (step[0] === 'I') places[places.length - 1].before.push(step);
      else {
        places[places.length - 1].at = step;
        places.push({before: []});
      }
    }
    return places;
  }

  // Columns of a common alignment: [reference word, step of each side or null].
  function columns(sides) {
    const placed = sides.map(steps => byWord(steps));
    const result = [];
    for (let k = 0; k < placed[0].length; k += 1) {
      const inserted = Math.max(...placed.map(side => side[k].before.length));
      for (let n = 0; n < inserted; n += 1) result.push(['', ...placed.map(side => side[k].before[n] || null)]);
      if (placed[0][k].at) result.push([placed[0][k].at[1], ...placed.map(side => side[k].at)]);
    }
    return result;
  }

  function shownStep(step) {
    if (step === null) return make('span', {class: 'gone'});
    const [operation, , word] = step;
    if (operation === 'C') return make('span', {class: 'ok'}, word);
    const node = make('span', {class: `w ${operation.toLowerCase()}`}, operation === 'D' ? '—' : word);
    node.append(make('sub', {}, operation));
    return make('span', {}, node);
  }

  // ---------------------------------------------------------------- the browser
  if (!data.sets.length) return;
  const choice = Object.fromEntries(['set', 'a', 'a-tag', 'b', 'b-tag', 'order', 'find'].map(id => [id, byId(id)]));
  const PAGE = 20;
  let rows = [], shown = 0, first = {}, second = {};

  const found = (set, system, tag) =>
    data.scored.find(one => one.set === set && one.system === system && one.tag === tag);

  function name(number) {
    const system = data.systems[number];
    const alone = data.systems.filter(one => one.label === system.label).length < 2;
    return data.labels[system.label] + (alone ? '' : `, ${system.seed === null ? system.name : `seed ${system.seed}`}`);
  }

  function options(select, values, wanted) {
    const kept = wanted === undefined ? select.value : String(wanted);
    select.replaceChildren(...values.map(([value, text]) => make('option', {value}, text)));
    select.value = values.some(([value]) => String(value) === kept) ? kept : String(values[0][0]);
  }

  function offer(start) {
    const set = Number(choice.set.value);
    const here = data.scored.filter(one => one.set === set);
    const numbers = [...new Set(here.map(one => one.system))];
    for (const side of ['a', 'b']) {
      options(choice[side], numbers.map(number => [number, name(number)]), start && start[side]);
      const tags = here.filter(one => one.system === Number(choice[side].value)).map(one => one.tag);
      options(choice[`${side}-tag`], tags.map(tag => [tag, tag]), start && start.tag);
    }
  }

  // Errors; of a translation what it lacks of 100 points of BLEU.
  function errorsOf(scored, place) {
    if (scored.errors) return scored.errors[place];
    const packed = scored.hyps[place];
    if (packed === null) return null;
    return packed === '' ? 0 : packed.split(' ').filter(token => '/-+'.includes(token[0])).length;
  }

  const ORDERS = {
    changed: (one, other) => Math.abs(other.b - other.a) - Math.abs(one.b - one.a)
      || Math.max(other.a, other.b) - Math.max(one.a, one.b),
    loses: (one, other) => (other.b - other.a) - (one.b - one.a),
    gains: (one, other) => (one.b - one.a) - (other.b - other.a),
    'worst-a': (one, other) => other.a - one.a,
    'worst-b': (one, other) => other.b - one.b,
    id: () => 0,
  };

  function choose() {
    const set = Number(choice.set.value), utterances = data.sets[set];
    first = found(set, Number(choice.a.value), choice['a-tag'].value);
    second = found(set, Number(choice.b.value), choice['b-tag'].value);
    rows = [];
    utterances.ids.forEach((id, place) => {
      const a = errorsOf(first, place), b = errorsOf(second, place);
      if (a !== null && b !== null) rows.push({id, place, a, b});
    });
    const sum = key => rows.reduce((total, row) => total + row[key], 0);
    const count = test => rows.filter(test).length;
    byId('balance').textContent = `${rows.length} utterances: B is better on ${count(row => row.b < row.a)}, worse on ` +
      `${count(row => row.b > row.a)}, equal on ${count(row => row.b === row.a)}. ` + (data.measure
      ? `Mean ${data.measure} of a sentence: A ${points(sum('a') / rows.length)}, B ${points(sum('b') / rows.length)}.`
      : `Errors: A ${sum('a')}, B ${sum('b')}.`);
    if (!data.measure) frequent(utterances);
    const words = choice.find.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length) {
      const text = row => [row.id, utterances.refs[row.place] || '', utterances.srcs ? utterances.srcs[row.place] : '',
        ...[first, second].map(one => (one.hyps ? one.hyps[row.place] : ''))].join(' ').toLowerCase();
      rows = rows.filter(row => { const said = text(row); return words.every(word => said.includes(word)); });
      byId('balance').textContent += ` With ${words.join(' and ')}: ${rows.length}.`;
    }
    rows.sort((one, other) => ORDERS[choice.order.value](one, other) || one.place - other.place);
    byId('list').replaceChildren();
    shown = 0;
    showMore();
  }

  function showMore() {
    const cards = rows.slice(shown, shown + PAGE).map(card);
    byId('list').append(...cards);
    shown += cards.length;
    byId('more').hidden = shown >= rows.length;
    byId('more').textContent = `Show more (${rows.length - shown} left)`;
  }

  function glyph(label) {
    return document.querySelector(`#table [data-series="${label}"] .glyph`).cloneNode(true);
  }

  function points(lack) {
    return (100 - lack).toFixed(1);
  }

  function plural(count) {
    return `${count} ${count === 1 ? 'error' : 'errors'}`;
  }

  function card(row) {
    const utterances = data.sets[Number(choice.set.value)];
    const [more, less] = data.measure ? ['▼', '▲'] : ['▲', '▼']; // of errors, or of what BLEU lacks
    const way = row.b > row.a ? [more, 'up', 'worse'] : row.b < row.a ? [less, 'down', 'better'] : ['=', '', 'alike'];
    const words = utterances.words[row.place];
    const told = data.measure ? `${data.measure} of this sentence: A ${points(row.a)}, B ${points(row.b)}`
      : `A ${plural(row.a)}, B ${plural(row.b)} in ${words} ${words === 1 ? 'word' : 'words'}`;
    const node = make('article', {class: 'utt', 'data-id': row.id}, make('header', {},
      make('b', {}, row.id),
      make('span', {}, told),
      make('span', {class: way[1]}, `${way[0]} B ${way[2]}`)));
    if (Object.hasOwn(data.audio, row.id)) {
      node.firstChild.append(make('audio', {controls: '', preload: 'none', src: data.audio[row.id], 'aria-label': `audio of ${row.id}`}));
    }
    const reference = utterances.refs[row.place];
    if (reference === null) {
      node.append(make('p', {class: 'note'}, 'The texts of these systems were not kept: their errors alone are known.'));
      return node;
    }
    const sides = [['A', first], ['B', second]].filter(([, one]) => one.hyps);
    if (data.measure) node.append(translated(utterances, row.place, sides));
    else node.append(aligned(reference, row.place, sides));
    for (const [letter, one] of [['A', first], ['B', second]]) {
      if (!one.hyps) node.append(make('p', {class: 'note'}, `The texts of ${letter} were not kept: its errors alone are known.`));
    }
    return node;
  }

  // Source, reference and translations, a line each.
  function translated(utterances, place, sides) {
    const list = make('dl', {class: 'lines'});
    const line = (name, text, mark) => list.append(make('dt', {}, ...mark, name), make('dd', {dir: 'auto'}, text));
    if (utterances.srcs) line('src', utterances.srcs[place], []);
    line('ref', utterances.refs[place], []);
    for (const [letter, one] of sides) line(letter, one.hyps[place], [glyph(data.systems[one.system].label)]);
    return list;
  }

  // The reference and both sides, word below word.
  function aligned(reference, place, sides) {
    const steps = sides.map(([, one]) => unpack(reference, one.hyps[place]));
    const heads = make('div', {class: 'heads', 'aria-hidden': 'true'}, make('span', {}, 'ref'),
      ...sides.map(([letter, one]) => make('span', {}, glyph(data.systems[one.system].label), letter)));
    const text = make('div', {class: 'words', dir: 'auto', 'aria-hidden': 'true'});
    for (const [word, ...there] of steps.length ? columns(steps) : reference.split(' ').map(one => [one])) {
      text.append(make('span', {class: 'col'}, make('span', {class: 'ref'}, word), ...there.map(shownStep)));
    }
    const spoken = [`reference: ${reference}`, ...sides.map(([letter], k) =>
      `${letter}: ${steps[k].filter(step => step[0] !== 'D').map(step => step[2]).join(' ')}`)].join('. ');
    return make('div', {class: 'rows'}, make('p', {class: 'vh'}, spoken), heads, text);
  }

  // Pairs of words that A and B confuse, words that they leave out or put in, the most frequent first.
  function frequent(utterances) {
    if (!byId('frequent').open) return;
    const counts = new Map();
    [first, second].forEach((one, side) => {
      (one.hyps || []).forEach((packed, place) => {
        if (!packed || utterances.refs[place] === null) return;
        for (const [operation, ref, hyp] of unpack(utterances.refs[place], packed)) {
          if (operation === 'C') continue;
          const what = operation === 'S' ? `${ref} → ${hyp}` : operation === 'D' ? `${ref} left out` : `${hyp} put in`;
          if (!counts.has(what)) counts.set(what, [0, 0]);
          counts.get(what)[side] += 1;
        }
      });
    });
    const most = [...counts].sort(([one, [a, b]], [other, [c, d]]) => Math.max(c, d) - Math.max(a, b) || c + d - a - b
      || one.localeCompare(other)).slice(0, 15);
    byId('frequent').querySelector('tbody').replaceChildren(...most.map(([what, [a, b]]) => make('tr', {},
      make('th', {scope: 'row'}, what), ...[a, b, (b > a ? '+' : '') + (b - a)].map(value => make('td', {class: 'num'}, String(value))))));
  }

  options(choice.set, data.sets.map((one, number) => [number, one.name]), data.first.set);
  offer(data.first.set === undefined ? undefined : data.first);
  choose();
  for (const id of ['set', 'a', 'b']) choice[id].addEventListener('change', () => { offer(); choose(); });
  for (const id of ['a-tag', 'b-tag', 'order']) choice[id].addEventListener('change', choose);
  choice.find.addEventListener('input', choose);
  byId('more').addEventListener('click', showMore);
  if (!data.measure) byId('frequent').addEventListener('toggle', () => frequent(data.sets[Number(choice.set.value)]));
})();
