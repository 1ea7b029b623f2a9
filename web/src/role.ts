/** The two people of the demo and where they are. */

export interface Role {
  id: "shopper" | "guide";
  name: string;
  region: string;
  place: string;
  greeting: string;
}

export const SHOPPER: Role = {
  id: "shopper",
  name: "Shopper",
  region: "jakarta",
  place: "Jakarta",
  greeting: "Looks for a gift and calls the shop.",
};

export const GUIDE: Role = {
  id: "guide",
  name: "Guide",
  region: "frankfurt",
  place: "Frankfurt",
  greeting: "Stands in the shop and shows what is there.",
};

/** The role that the address asks for; the shopper when it asks for none. */
export function roleOf(parameters: URLSearchParams): Role {
  return parameters.get("role") === GUIDE.id ? GUIDE : SHOPPER;
}

/** Whom this role calls. */
export function other(role: Role): Role {
  return role === SHOPPER ? GUIDE : SHOPPER;
}
