/** What the address of the page asks for: `?room=demo&join=1&camera=0&microphone=0&name=Ada`. */

import { cleanName } from "./protocol";

export interface Launch {
  /** As written; whether it is a room name is found out when it is joined. */
  readonly room: string;
  /** Join at once. */
  readonly join: boolean;
  readonly camera: boolean;
  readonly microphone: boolean;
  readonly name: string | null;
}

export function parseLaunch(search: string): Launch {
  const parameters = new URLSearchParams(search);
  const isOn = (key: string, otherwise: boolean) => {
    const value = parameters.get(key);
    return value === null ? otherwise : !["0", "false", "no", "off"].includes(value.toLowerCase());
  };
  const room = (parameters.get("room") ?? "").trim();
  return {
    room,
    join: room !== "" && isOn("join", false),
    camera: isOn("camera", true),
    microphone: isOn("microphone", true),
    name: cleanName(parameters.get("name") ?? ""),
  };
}
