// The bearer-token check. Tokens are kept as SHA-256 only, in a JSON file
//
//     {"<sha256 of the token, 64 hex digits>": {"name": "ci"}, ...}
//
// (the name may also stand there as a plain string). nginx's master process
// reads it when it starts and at each reload. Looking up a hash compares the
// token exactly, whatever its case, at the same cost for one token and for a
// thousand; and how long it takes tells nothing about any token.
import crypto from 'crypto';

// RFC 6750: the scheme's case does not matter, the token's does.
const BEARER = /^[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+\/-]{1,512}=*)$/;

// Names go into logs and to the application.
const NAME = /^[A-Za-z0-9._@-]{1,64}$/;

// The name of the request's token; '' when it has none that is valid.
function tokenName(r) {
    const match = BEARER.exec(r.headersIn['Authorization'] || '');
    if (match === null) {
        return '';
    }
    const hash = crypto.createHash('sha256').update(match[1]).digest('hex');
    if (!Object.prototype.hasOwnProperty.call(jobq_tokens, hash)) {
        return '';
    }
    const entry = jobq_tokens[hash];
    const name = typeof entry === 'string' ? entry : entry && entry.name;
    if (typeof name !== 'string' || !NAME.test(name)) {
        r.error('jobq: the token ' + hash.slice(0, 8) + '... has no usable name in the ' +
                'tokens file, so it is refused: names are 1 to 64 of A-Z a-z 0-9 . _ @ -');
        return '';
    }
    return name;
}

export default { tokenName };
