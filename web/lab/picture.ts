/** The pictures of `fairlead.lab.field.pictures`: a number in 8 x 3 cells over a ground that moves. */

const COLUMNS = 8;
const ROWS = 3;
const DARK = 40;
const LIGHT = 215;
const CELL_EDGE = 0.3;
const GRAIN = 14;
const GROUNDS = 16;
const DRIFT = 5;
const PATCH = 20;
export const WIDTH = 640;
export const HEIGHT = 360;
export const RATE = 20;
export const UNREADABLE = -1;

function checksum(number: number): number {
  return ((number >> 8) * 7 + (number & 0xff) * 13 + 0xa5) & 0xff;
}

/** Draws the picture of a number on a canvas of WIDTH x HEIGHT. */
export class Painter {
  private readonly grounds: OffscreenCanvas[];

  constructor(private readonly context: CanvasRenderingContext2D) {
    const dice = new Dice(7);
    const shades = Array.from({ length: (WIDTH / PATCH) * (HEIGHT / 2 / PATCH + 1) }, () =>
      Math.floor(70 + 120 * dice.next()),
    );
    this.grounds = Array.from({ length: GROUNDS }, () => ground(shades, dice));
  }

  paint(number: number): void {
    const code = number & 0xffff;
    const bytes = [code >> 8, code & 0xff, checksum(code)];
    const wide = WIDTH / COLUMNS;
    const high = HEIGHT / 2 / ROWS;
    bytes.forEach((byte, row) => {
      for (let column = 0; column < COLUMNS; column += 1) {
        const shade = (byte >> (7 - column)) & 1 ? LIGHT : DARK;
        this.context.fillStyle = `rgb(${shade} ${shade} ${shade})`;
        this.context.fillRect(column * wide, row * high, wide, high);
      }
    });
    const below = this.grounds[number % GROUNDS];
    const offset = (number * DRIFT) % WIDTH;
    if (below) {
      this.context.drawImage(below, offset, HEIGHT / 2);
      this.context.drawImage(below, offset - WIDTH, HEIGHT / 2);
    }
  }
}

/** The number in a luma plane, or UNREADABLE. */
export function read(luma: Uint8Array, width: number, height: number, stride: number): number {
  let word = 0;
  for (let row = 0; row < ROWS; row += 1) {
    const [top, bottom] = inner(row, height / 2 / ROWS);
    for (let column = 0; column < COLUMNS; column += 1) {
      const [left, right] = inner(column, width / COLUMNS);
      let sum = 0;
      for (let y = top; y < bottom; y += 1) {
        for (let x = left; x < right; x += 1) {
          sum += luma[y * stride + x] ?? 0;
        }
      }
      const light = sum / ((bottom - top) * (right - left)) > (DARK + LIGHT) / 2;
      word = (word << 1) | (light ? 1 : 0);
    }
  }
  const number = word >> 8;
  return (word & 0xff) === checksum(number) ? number : UNREADABLE;
}

function inner(place: number, size: number): [number, number] {
  const first = Math.floor((place + CELL_EDGE) * size);
  return [first, Math.max(first + 1, Math.floor((place + 1 - CELL_EDGE) * size))];
}

function ground(shades: number[], dice: Dice): OffscreenCanvas {
  const canvas = new OffscreenCanvas(WIDTH, HEIGHT / 2);
  const context = canvas.getContext("2d", { alpha: false });
  if (!context) {
    throw new Error("this browser draws no canvas");
  }
  const image = context.createImageData(canvas.width, canvas.height);
  for (let place = 0; place < canvas.width * canvas.height; place += 1) {
    const row = Math.floor(place / canvas.width / PATCH);
    const column = Math.floor((place % canvas.width) / PATCH);
    const grain = (dice.next() + dice.next() + dice.next() - 1.5) * GRAIN;
    const shade = (shades[row * (WIDTH / PATCH) + column] ?? 0) + grain;
    image.data.set([shade, shade, shade, 255], 4 * place);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** The same grounds each time (the multiplier of Numerical Recipes). */
class Dice {
  constructor(private state: number) {}

  next(): number {
    this.state = (Math.imul(this.state, 1_664_525) + 1_013_904_223) >>> 0;
    return this.state / 2 ** 32;
  }
}
