// A recogniser in a browser: audio, filterbanks, the graphs of a bundle, greedy search, spelling.
//
// It computes what kdasr computes in Python; each function says where. Values are double here, and float32 there.
//
//     n samples   T frames   W samples a window   H samples a shift   N points of the FFT   F mel bins
//     S encoded frames   V tokens

import * as ort from './ort/ort.wasm.min.mjs';

ort.env.wasm.numThreads = 1; // more need headers that not every web server sends
ort.env.logLevel = 'error';

const FORMAT = 1; // of bundles
const FLOOR = 2 ** -23; // float32's epsilon
const MARK = '\u2581'; // sentencepiece's, before the first piece of a word

// Read a bundle that lies in a folder of the web server, and one of its networks ("fp32" or "int8").
export async function load(folder, precision = 'fp32') {
  const get = async (name) => {
    const answer = await fetch(`${folder}/${name}`);
    if (!answer.ok) throw new Error(`${folder}/${name}: ${answer.status} ${answer.statusText}`);
    return answer;
  };
  const settings = await (await get('bundle.json')).json();
  if (settings.format !== FORMAT) {
    throw new Error(`a bundle of format ${settings.format}, and this page reads format ${FORMAT}; make the page again`);
  }
  if (settings.input !== 'features' || settings.features.kind !== 'fbank') {
    throw new Error('this model takes other input than filterbanks, which this page does not make');
  }
  const tokens = (await (await get('tokens.txt')).text()).replace(/\n$/, '').split('\n');
  const network = async (name) => ort.InferenceSession.create(new Uint8Array(await (await get(name)).arrayBuffer()));
  const files = settings.networks[precision];
  const encoder = await network(files.encoder);
  return { settings, tokens, encoder, decoder: files.decoder ? await network(files.decoder) : null };
}

// The searches that a model can do.
export function searches(model) {
  return [...(model.decoder ? ['attention'] : []), ...(model.settings.ctc ? ['ctc'] : [])];
}

// The text of samples on the int16 scale (n,) at the model's rate.
export async function transcribe(model, samples, search = searches(model)[0]) {
  const { settings } = model;
  const { values, frames } = fbank(samples, settings.sample_rate, settings.features.bins);
  if (frames < settings.shortest) return '';
  const found = await model.encoder.run({ x: new ort.Tensor('float32', values, [frames, settings.features.bins]) });
  const ids = search === 'ctc' ? bestPath(found.ctc, settings.tokens.blank) : await attend(model, found);
  return spell(ids, model.tokens, settings.tokens);
}

// CTC's best token of each frame (S, V), repetitions and then blanks left out.
export function bestPath(logp, blank) {
  const [frames, size] = logp.dims;
  const best = Array.from({ length: frames }, (_, s) => largest(logp.data.subarray(s * size, (s + 1) * size)));
  return best.filter((id, s) => id !== blank && id !== best[s - 1]);
}

// The decoder's best token after the best tokens, until <eos>, or a token for each encoded frame.
async function attend(model, found) {
  const { decoder, settings } = model;
  const [frames] = (found.ctc ?? found.frames).dims;
  const fed = { ...found };
  const ids = [];
  for (let last = settings.tokens.sos; ids.length < frames; ids.push(last)) {
    fed.tokens = new ort.Tensor('int64', BigInt64Array.of(BigInt(last)), [1]);
    const after = await decoder.run(Object.fromEntries(decoder.inputNames.map((name) => [name, fed[name]])));
    last = largest(after.logp.data);
    if (last === settings.tokens.eos) break;
    for (let i = 0; i < settings.states; i += 1) fed[`state_${i}`] = after[`next_${i}`];
  }
  return ids;
}

// The place of the largest value, of equal ones the first.
function largest(values) {
  let best = 0;
  for (let i = 1; i < values.length; i += 1) if (values[i] > values[best]) best = i;
  return best;
}

// The text of ids, as kdasr/runtime/spell.py spells it.
export function spell(ids, tokens, how) {
  const pieces = ids.filter((id) => !how.silent.includes(id)).map((id) => tokens[id]);
  if (how.kind === 'word') return pieces.join(' ');
  if (how.kind === 'char') return pieces.map((piece) => (piece === how.space ? ' ' : piece)).join('');
  let text = '';
  let bytes = [];
  const flush = () => {
    text += new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes));
    bytes = [];
  };
  for (const piece of pieces) {
    const byte = /^<0x([0-9A-F]{2})>$/.exec(piece);
    if (byte) {
      bytes.push(parseInt(byte[1], 16));
      continue;
    }
    flush();
    const plain = piece === how.unk ? ' \u2047 ' : piece.replaceAll(MARK, ' ');
    text += text || piece === how.unk ? plain : plain.replace(/^ /, '');
  }
  flush();
  return text;
}

// Log-mel filterbanks of samples on the int16 scale, as kdasr/data/fbank.py: values (T * F,) and T.
export function fbank(samples, rate, bins) {
  const window = Math.floor(rate * 0.025);
  const shift = Math.floor(rate * 0.01);
  let points = 2;
  while (points < window) points *= 2;
  const taper = Float64Array.from(
    { length: window }, (_, i) => (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / (window - 1))) ** 0.85,
  );
  const mel = triangles(rate, points, bins);
  const frames = samples.length < window ? 0 : 1 + Math.floor((samples.length - window) / shift);
  const values = new Float32Array(frames * bins);
  const real = new Float64Array(points);
  const imaginary = new Float64Array(points);
  for (let t = 0; t < frames; t += 1) {
    const frame = samples.subarray(t * shift, t * shift + window);
    const mean = frame.reduce((sum, x) => sum + x, 0) / window;
    real.fill(0);
    imaginary.fill(0);
    for (let i = 1; i < window; i += 1) { // the taper is 0 at the first sample
      real[i] = taper[i] * (frame[i] - mean - 0.97 * (frame[i - 1] - mean));
    }
    fft(real, imaginary);
    mel.forEach(({ first, weights }, f) => {
      let energy = 0;
      for (let k = 0; k < weights.length; k += 1) {
        energy += weights[k] * (real[first + k] ** 2 + imaginary[first + k] ** 2);
      }
      values[t * bins + f] = Math.log(Math.max(energy, FLOOR));
    });
  }
  return { values, frames };
}

// Kaldi's triangles, in mel from 20 Hz to half the rate: of each bin its first point and its weights.
function triangles(rate, points, bins) {
  const mel = (hertz) => 1127 * Math.log1p(hertz / 700);
  const low = mel(20);
  const step = (mel(rate / 2) - low) / (bins + 1);
  return Array.from({ length: bins }, (_, f) => {
    const centre = low + (f + 1) * step;
    const all = Array.from({ length: points / 2 }, (__, k) => 1 - Math.abs(mel((k * rate) / points) - centre) / step);
    const first = all.findIndex((weight) => weight > 0);
    return { first, weights: all.slice(first).filter((weight) => weight > 0) };
  });
}

// The discrete Fourier transform of N = 2^m complex values, in place.
function fft(real, imaginary) {
  const size = real.length;
  for (let i = 1, j = 0; i < size; i += 1) { // into the order of reversed bits
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let half = 1; half < size; half *= 2) {
    for (let k = 0; k < half; k += 1) {
      const [c, s] = [Math.cos((Math.PI * k) / half), -Math.sin((Math.PI * k) / half)];
      for (let i = k; i < size; i += 2 * half) {
        const j = i + half;
        const [x, y] = [c * real[j] - s * imaginary[j], c * imaginary[j] + s * real[j]];
        [real[j], imaginary[j]] = [real[i] - x, imaginary[i] - y];
        real[i] += x;
        imaginary[i] += y;
      }
    }
  }
}

// The samples of a file of audio, of several channels their mean, on the int16 scale (n,) at `rate`.
export async function read(buffer, rate) {
  const wav = pcm16(new DataView(buffer));
  if (wav?.rate === rate) return wav.samples;
  const audio = await new OfflineAudioContext(1, 1, rate).decodeAudioData(buffer); // converts the rate, too
  const channels = Array.from({ length: audio.numberOfChannels }, (_, c) => audio.getChannelData(c));
  return Int16Array.from(channels[0], (_, i) => {
    const mean = channels.reduce((sum, one) => sum + one[i], 0) / channels.length;
    return Math.max(-32768, Math.min(32767, Math.round(32768 * mean)));
  });
}

// Samples and rate of a WAV of 16 bits and one channel, as they are; null of anything else.
function pcm16(view) {
  const name = (at) => String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));
  if (view.byteLength < 44 || name(0) !== 'RIFF' || name(8) !== 'WAVE') return null;
  let rate = 0;
  for (let at = 12; at + 8 <= view.byteLength;) {
    const size = view.getUint32(at + 4, true);
    if (name(at) === 'fmt ') {
      const [format, channels, bits] = [8, 10, 22].map((place) => view.getUint16(at + place, true));
      if (format !== 1 || channels !== 1 || bits !== 16) return null;
      rate = view.getUint32(at + 12, true);
    } else if (name(at) === 'data' && rate) {
      const count = Math.floor(Math.min(size, view.byteLength - at - 8) / 2);
      return { rate, samples: Int16Array.from({ length: count }, (_, i) => view.getInt16(at + 8 + 2 * i, true)) };
    }
    at += 8 + size + (size % 2);
  }
  return null;
}
