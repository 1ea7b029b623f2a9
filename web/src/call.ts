/** The call page of the demo. */
export {};
