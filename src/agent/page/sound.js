// The soft tone for a new message. Off until the user turns it on.

const NAME = "sealpost.sound";
let context = null;

/** Whether the user wants to hear new messages. */
export const soundIsOn = () => localStorage.getItem(NAME) === "on";

/** Turns the sound on or off; turning it on plays it once. */
export function switchSound() {
  localStorage.setItem(NAME, soundIsOn() ? "off" : "on");
  chime();
}

/** Plays two short notes if the sound is on. */
export function chime() {
  if (!soundIsOn()) return;
  context ??= new AudioContext();
  context.resume(); // A page that was not touched yet starts out silenced.
  const start = context.currentTime;
  [660, 880].forEach((pitch, at) => note(pitch, start + at * 0.12));
}

function note(pitch, at) {
  const tone = context.createOscillator();
  const volume = context.createGain();
  tone.frequency.value = pitch;
  volume.gain.setValueAtTime(0, at);
  volume.gain.linearRampToValueAtTime(0.08, at + 0.02);
  volume.gain.exponentialRampToValueAtTime(0.001, at + 0.3);
  tone.connect(volume).connect(context.destination);
  tone.start(at);
  tone.stop(at + 0.32);
}
