/** Fences as requests write them. */

/** A decimal number from 1 on. As text "9" is above "10": fences are compared as integers. */
export const FENCE = /^[1-9][0-9]{0,19}$/;
