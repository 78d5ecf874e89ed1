export const View = () => null;
export const help = () => {};
export const toggle = () => {};
