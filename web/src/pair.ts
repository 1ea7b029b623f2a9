/** The pair page of the demo. */
export {};
