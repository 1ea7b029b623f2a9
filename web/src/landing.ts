/** The landing page of the demo. */
export {};
