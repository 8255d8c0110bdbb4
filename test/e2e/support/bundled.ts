/** Cookies of Kong's bundled `session` plugin, recorded from Kong 3.9.1 with this secret, by its storage. */
const secret = 'bundled-and-guard-share-this-secret-0123456789';

export const BUNDLED_COOKIES = {
  kong: {
    secret,
    value:
      'AQEAAQL2_72Of_JwI-6ETRBCMfYWZHuPRtBeCOnJaHhoH0PGVAJrAAAAAACEAAAXqYAeCAVoD7SM5PFW0RqqAAAAdrK7YmWN9AZBdwkrEL-xPw',
  },
  cookie: {
    secret,
    value:
      'AQAAiq9oJWvb5i6m4xQGOg2SGUVZm1fp7B984b3BMul4uK_GVAJrAAAAAACEAABWHzZ20j9UjyrErgN0_1u2AAAAg7qj8_UnrF2jYBDnVstbxwJ1' +
      '79Xq1gE2SEuDvdxdp20ocT-0njcFoj-4piaknc_qmOx1Ln3chuVke5nR-ttZP33feRkrZfF_k0r31QcgMxBAZyP-Hgpkcg4bYp4Tc7Tqw8As' +
      '-arec-1DvcTOCcCPssaEbC',
  },
} as const;
