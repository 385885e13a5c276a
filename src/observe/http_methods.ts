/** Methods that are a label or an attribute as they are; whatever else somebody makes up is `other`. */
export const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]);
