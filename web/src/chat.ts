/** The chat: text streams on one topic. */

import type { Room } from "livekit-client";
import { el } from "./element";
import { icon } from "./icon";

const TOPIC = "chat";
const LONGEST = 1_000;

/** A list of messages and a line to write the next one. */
export class Chat {
  readonly element: HTMLElement;
  private readonly list = el("ol", { class: "chat-list", "aria-live": "polite", "aria-label": "Messages" });
  private readonly input = el("input", {
    class: "chat-input",
    type: "text",
    maxlength: LONGEST,
    placeholder: "Write a message",
    "aria-label": "Message",
    autocomplete: "off",
    disabled: true,
  });
  private readonly button = el(
    "button",
    { class: "chat-send", type: "submit", "aria-label": "Send", disabled: true },
    icon("send"),
  );

  constructor(
    private readonly room: Room,
    private readonly trouble: (sentence: string) => void,
  ) {
    const submit = (event: Event) => {
      event.preventDefault();
      void this.send();
    };
    const form = el("form", { class: "chat-form", submit }, this.input, this.button);
    this.list.append(el("li", { class: "chat-empty" }, "No messages yet."));
    this.element = el("div", { class: "chat" }, this.list, form);
    room.registerTextStreamHandler(TOPIC, async (reader, { identity }) => {
      const name = room.remoteParticipants.get(identity)?.name ?? identity;
      this.show(name, await reader.readAll(), false);
    });
  }

  setOpen(open: boolean): void {
    this.input.disabled = !open;
    this.button.disabled = !open;
  }

  private async send(): Promise<void> {
    const text = this.input.value.trim();
    if (!text) {
      return;
    }
    this.input.value = "";
    try {
      await this.room.localParticipant.sendText(text, { topic: TOPIC });
      this.show("You", text, true);
    } catch {
      this.input.value = text;
      this.trouble("The message could not be sent. Try again when the connection is back.");
    }
  }

  private show(name: string, text: string, mine: boolean): void {
    this.list.querySelector(".chat-empty")?.remove();
    const time = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    const head = el("span", { class: "chat-name" }, `${name} · ${time}`);
    const item = el("li", { class: mine ? "chat-mine" : "chat-theirs" }, head, el("p", {}, text));
    this.list.append(item);
    this.list.scrollTop = this.list.scrollHeight;
  }
}
