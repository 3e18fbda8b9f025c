// The page: what a visitor chooses, and what is shown.

import { load, read, searches, transcribe } from './recogniser.js';

const LONGEST = 20; // seconds; attention decoders lose their way in more than they were trained on
const NAMES = { attention: 'attention decoder', ctc: 'CTC' };
const [file, search, text, told] = ['file', 'search', 'text', 'told'].map((id) => document.getElementById(id));
let model;

async function start() {
  model = await load('bundle');
  for (const name of searches(model)) search.add(new Option(NAMES[name], name));
  document.getElementById('name').textContent = model.settings.name;
  file.disabled = search.disabled = false;
  told.textContent = 'The model is loaded. Audio stays on this machine.';
}

async function run() {
  if (!file.files.length) return;
  text.textContent = '';
  told.textContent = 'Listening ...';
  const rate = model.settings.sample_rate;
  const samples = await read(await file.files[0].arrayBuffer(), rate);
  const from = performance.now();
  const heard = await transcribe(model, samples, search.value);
  const [seconds, spent] = [samples.length / rate, (performance.now() - from) / 1000];
  text.textContent = heard;
  const long = ` Text of more than ${LONGEST} s at once may be wrong: cut it, or use kdasr transcribe.`;
  told.textContent = `${seconds.toFixed(1)} s of audio, transcribed in ${spent.toFixed(2)} s.`
    + (seconds > LONGEST ? long : '');
}

function shown(work) {
  return () => work().catch((error) => { told.textContent = `It failed: ${error.message}`; });
}

file.addEventListener('change', shown(run));
search.addEventListener('change', shown(run));
shown(start)();
