/** The sum of two digests, as StateDigest.addDigest() makes it: modulo 2^256, word by word from the last. */
export const addDigests = `
CREATE FUNCTION add_digests(one text, other text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  total bigint := 0;
  sum text := '';
BEGIN
  FOR place IN REVERSE 57..1 BY 8 LOOP
    total := (total >> 32) + ('x' || substr(one, place, 8))::bit(32)::bigint + ('x' || substr(other, place, 8))::bit(32)::bigint;
    sum := lpad(to_hex(total & 4294967295), 8, '0') || sum;
  END LOOP;
  RETURN sum;
END $$;
`;
