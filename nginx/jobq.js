// The bearer-token check. Tokens are kept as SHA-256 only, in a JSON file
//
//     {"<sha256 of the token, 64 hex digits>":
//         {"name": "ci", "scope": "submit", "expires": 1790000000}, ...}
//
// as `jobqctl token` writes it. `scope` is read, submit or admin, which it is
// when there is none; `expires` is the second since 1970 from which on the token
// is none any more, or null or absent for never. A plain string is a name alone.
// nginx's master process reads the file when it starts and at each reload; what
// has expired needs neither. Looking up a hash compares the token exactly,
// whatever its case, at the same cost for one token and for a thousand; and how
// long it takes tells nothing about any token.
import crypto from 'crypto';

// RFC 6750: the scheme's case does not matter, the token's does.
const BEARER = /^[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+\/-]{1,512}=*)$/;

// Names go into logs and to the application. In njs `$` matches before a newline
// at the end, too, so that is looked for apart.
const NAME = /^[A-Za-z0-9._@-]{1,64}$/;

const SCOPES = ['read', 'submit', 'admin'];

// What is wrong with an entry of the file, or ''. src/ctl/tokens.c judges alike.
function wrong(entry) {
    if (typeof entry.name !== 'string' || !NAME.test(entry.name) ||
        entry.name.endsWith('\n')) {
        return 'has no usable name (1 to 64 of A-Z a-z 0-9 . _ @ -)';
    }
    if (entry.scope !== undefined && SCOPES.indexOf(entry.scope) < 0) {
        return 'has no usable scope (read, submit or admin)';
    }
    if (entry.expires !== undefined && entry.expires !== null &&
        !(typeof entry.expires === 'number' && entry.expires >= 0)) {
        return 'has no usable expiry (seconds since 1970, or null)';
    }
    return '';
}

// Scope and name of the request's token, 'submit ci'; '' when it has none that
// is valid. One text, so that a request hashes its token once and cannot have it
// expire between two looks.
function grant(r) {
    const match = BEARER.exec(r.headersIn['Authorization'] || '');
    if (match === null) {
        return '';
    }
    const hash = crypto.createHash('sha256').update(match[1]).digest('hex');
    if (!Object.prototype.hasOwnProperty.call(jobq_tokens, hash)) {
        return '';
    }
    const found = jobq_tokens[hash];
    const entry = typeof found === 'string' ? { name: found } : found || {};
    const problem = wrong(entry);
    if (problem !== '') {
        r.error('jobq: the token ' + hash.slice(0, 8) + '... ' + problem +
                ' in the tokens file, so it is refused');
        return '';
    }
    if (typeof entry.expires === 'number' && Date.now() >= entry.expires * 1000) {
        return '';
    }
    return (entry.scope || 'admin') + ' ' + entry.name;
}

export default { grant };
