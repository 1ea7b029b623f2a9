/** The pictures of `tests/media/picture.py`: a number in 8 x 4 black and white cells. */

const COLUMNS = 8;
const ROWS = 4;
const DARK = 40;
const LIGHT = 215;

export interface Code {
  number: number;
  sender: number;
}

function checksum({ number, sender }: Code): number {
  return ((number >> 8) * 7 + (number & 0xff) * 13 + sender * 31 + 0xa5) & 0xff;
}

/** Fills the canvas with the code. */
export function draw(context: CanvasRenderingContext2D, code: Code): void {
  const { width, height } = context.canvas;
  const bytes = [code.number >> 8, code.number & 0xff, code.sender, checksum(code)];
  bytes.forEach((byte, row) => {
    for (let column = 0; column < COLUMNS; column += 1) {
      const shade = (byte >> (7 - column)) & 1 ? LIGHT : DARK;
      context.fillStyle = `rgb(${shade} ${shade} ${shade})`;
      const left = Math.ceil((column * width) / COLUMNS);
      const top = Math.ceil((row * height) / ROWS);
      context.fillRect(left, top, Math.ceil(width / COLUMNS), Math.ceil(height / ROWS));
    }
  });
}

/** The code in a luma plane, or null when it does not check. */
export function read(
  luma: Uint8Array,
  width: number,
  height: number,
  stride: number,
): Code | null {
  const bytes = Array.from({ length: ROWS }, (_, row) => {
    let byte = 0;
    for (let column = 0; column < COLUMNS; column += 1) {
      const level = mean(luma, stride, [
        Math.floor(((column + 0.3) * width) / COLUMNS),
        Math.floor(((row + 0.3) * height) / ROWS),
        Math.floor(((column + 0.7) * width) / COLUMNS),
        Math.floor(((row + 0.7) * height) / ROWS),
      ]);
      byte = (byte << 1) | (level > (DARK + LIGHT) / 2 ? 1 : 0);
    }
    return byte;
  });
  const [high = 0, low = 0, sender = 0, check] = bytes;
  const code = { number: (high << 8) | low, sender };
  return check === checksum(code) ? code : null;
}

function mean(
  luma: Uint8Array,
  stride: number,
  [left, top, right, bottom]: [number, number, number, number],
): number {
  let sum = 0;
  let count = 0;
  for (let y = top; y <= bottom; y += 1) {
    for (let x = left; x <= right; x += 1) {
      sum += luma[y * stride + x] ?? 0;
      count += 1;
    }
  }
  return sum / count;
}
